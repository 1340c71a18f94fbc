// Everything works without this file. It shows progress while it is made, reveals a field in its place, and copies one
// without showing it.
"use strict";

const LIVE_SECONDS = 2;
const SHOWN_SECONDS = 30;

function follow(section) {
  const bar = section.querySelector("progress");
  const text = section.querySelector("[data-live-text]");
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(section.dataset.live, { headers: { Accept: "application/json" } });
      if (!response.ok) return;
      const found = await response.json();
      text.textContent = found.says;
      if (found.running) {
        bar.max = found.total || 1;
        bar.value = found.done;
      } else {
        bar.value = bar.max;
        clearInterval(timer);
      }
    } catch {
      // the console was stopped, or the network was: try again
    }
  }, LIVE_SECONDS * 1000);
}

async function asked(form, what) {
  const content = new URLSearchParams(new FormData(form));
  content.set("what", what);
  const response = await fetch(form.action, { method: "POST", body: content, headers: { Accept: "application/json" } });
  const found = await response.json();
  if (!response.ok) throw new Error(found.problem + "; " + found.hint);
  return found.value;
}

function revealing(form) {
  const output = form.querySelector("output");
  const show = form.querySelector("button[name=what]");
  const says = form.querySelector("[role=status]");
  const copy = form.querySelector("[data-copy-secret]");
  let timer = 0;

  function hide() {
    clearTimeout(timer);
    output.textContent = "";
    show.textContent = "Show";
    show.setAttribute("aria-expanded", "false");
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (output.textContent) {
      hide();
      says.textContent = "Hidden.";
      return;
    }
    try {
      output.textContent = await asked(form, "reveal");
      show.textContent = "Hide";
      show.setAttribute("aria-expanded", "true");
      says.textContent = `Shown for ${SHOWN_SECONDS} seconds. The audit has recorded it.`;
      timer = setTimeout(() => {
        hide();
        says.textContent = "Hidden again.";
      }, SHOWN_SECONDS * 1000);
    } catch (error) {
      says.textContent = error.message;
    }
  });
  show.setAttribute("aria-expanded", "false");
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(await asked(form, "copy"));
      says.textContent = "Copied, and not shown. The audit has recorded it.";
    } catch (error) {
      says.textContent = error.message;
    }
  });
  addEventListener("pagehide", hide);
}

function copying(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    document.querySelector("[data-copied]").textContent = "Copied.";
  });
}

function following(button) {
  const rows = document.querySelector("[data-rows]");
  const says = document.querySelector("[data-followed]");
  let after = button.dataset.after;
  let timer = 0;

  async function look() {
    const response = await fetch(`${button.dataset.follow}&after=${after}`, { headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const found = await response.json();
    after = found.newest;
    for (const cells of found.rows) {
      const row = document.createElement("tr");
      cells.forEach((text, index) => {
        const cell = document.createElement(index === 2 ? "th" : "td");
        if (index === 2) cell.scope = "row";
        if (index === 0) cell.className = "number";
        cell.textContent = text;
        row.append(cell);
      });
      rows.prepend(row);
    }
    if (found.rows.length) says.textContent = `${found.rows.length} new.`;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    says.textContent = on ? "Following." : "";
    clearInterval(timer);
    if (on) timer = setInterval(look, LIVE_SECONDS * 1000);
  });
}

document.querySelectorAll("[data-follow]").forEach(following);
document.querySelectorAll("[data-live]").forEach(follow);
document.querySelectorAll("form[data-reveal]").forEach(revealing);
document.querySelectorAll("[data-copy]").forEach(copying);
