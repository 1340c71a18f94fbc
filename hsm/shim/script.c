/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

enum { EVERY_FUNCTION = FUNCTION_COUNT, NO_FUNCTION, MAX_RULES = 256, MAX_BYTES = 32 * 1024 };

typedef enum {
    ACT_ANSWER, ACT_HANG, ACT_CRASH, ACT_EXIT,                             /* these end a call */
    ACT_DELAY, ACT_FORGET_SESSIONS, ACT_FORGET_LOGIN, ACT_OVERWRITE_IV,    /* after these the next line has its say */
    ACT_TOKEN_FLAGS, ACT_RENUMBER_SLOTS, ACT_MISSING
} Act;

typedef struct {
    int function;
    unsigned long after, times; /* times == 0: without end */
    int until;
    Act act;
    unsigned long value;
    unsigned long seen, struck;
    bool over;
} Rule;

static struct {
    pthread_mutex_t lock;
    char text[MAX_BYTES + 1];
    struct stat file;
    Rule rules[MAX_RULES];
    size_t count;
    bool refused;
} script = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const function_names[FUNCTION_COUNT] = {
#define FUNCTION(kind, name, parameters, arguments) #name,
#include "functions.h"
#undef FUNCTION
};

static const struct { const char *name; CK_RV value; } results[] = {
#define RESULT(name, value) {#name, value},
#include "results.h"
#undef RESULT
};

/* Words that are actions; one that ends with `=` takes a number. */
static const struct { const char *word; Act act; } words[] = {
    {"hang", ACT_HANG}, {"crash", ACT_CRASH}, {"exit", ACT_EXIT}, {"delay=", ACT_DELAY},
    {"forget-sessions", ACT_FORGET_SESSIONS}, {"forget-login", ACT_FORGET_LOGIN}, {"overwrite-iv", ACT_OVERWRITE_IV},
    {"token-flags=", ACT_TOKEN_FLAGS}, {"renumber-slots=", ACT_RENUMBER_SLOTS}, {"missing", ACT_MISSING},
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

const char *function_name(Function function)
{
    return function_names[function];
}

const char *result_name(CK_RV result)
{
    for (size_t i = 0; i < LENGTH(results); i++)
        if (results[i].value == result)
            return results[i].name;
    return NULL;
}

static bool parse_number(const char *word, unsigned long *number)
{
    char *end;
    if (!isdigit((unsigned char)*word))
        return false;
    errno = 0;
    *number = strtoul(word, &end, 0);
    return *end == '\0' && errno == 0;
}

/* The word after `key`, or NULL when it does not begin with it. */
static const char *value_of(const char *word, const char *key)
{
    size_t length = strlen(key);
    return strncmp(word, key, length) == 0 ? word + length : NULL;
}

static bool parse_function(const char *word, int *function)
{
    for (*function = 0; *function < FUNCTION_COUNT; (*function)++)
        if (strcmp(word, function_names[*function]) == 0)
            return true;
    return false;
}

static bool parse_action(const char *word, Rule *rule)
{
    for (size_t i = 0; i < LENGTH(words); i++) {
        const char *value = value_of(word, words[i].word);
        bool takes_number = strchr(words[i].word, '=') != NULL;
        if (value && (takes_number ? parse_number(value, &rule->value) : *value == '\0')) {
            rule->act = words[i].act;
            return true;
        }
    }
    rule->act = ACT_ANSWER;
    for (size_t i = 0; i < LENGTH(results); i++) {
        if (strcmp(word, results[i].name) == 0) {
            rule->value = results[i].value;
            return true;
        }
    }
    return value_of(word, "0x") && parse_number(word, &rule->value);
}

static bool parse_condition(const char *word, Rule *rule)
{
    const char *value;
    if ((value = value_of(word, "after=")))
        return parse_number(value, &rule->after);
    if ((value = value_of(word, "times=")))
        return parse_number(value, &rule->times) && rule->times > 0;
    if ((value = value_of(word, "until=")))
        return parse_function(value, &rule->until);
    return false;
}

/* FUNCTION [after=N] [times=N] [until=FUNCTION] ACTION */
static bool parse_line(char *line, Rule *rule)
{
    char *rest, *word = strtok_r(line, " \t\r", &rest), *next;
    *rule = (Rule){.function = EVERY_FUNCTION, .until = NO_FUNCTION};
    if (strcmp(word, "*") != 0 && !parse_function(word, &rule->function))
        return false;
    for (word = strtok_r(NULL, " \t\r", &rest); word; word = next) {
        next = strtok_r(NULL, " \t\r", &rest);
        if (!(next ? parse_condition(word, rule) : parse_action(word, rule)))
            return false;
        if (!next)
            return true;
    }
    return false;
}

static void refuse(const char *path, size_t number, const char *line)
{
    fprintf(stderr, "pkcs11-shim: %s:%zu: not understood: %.*s\n", path, number, (int)strcspn(line, "\n"), line);
    script.refused = true;
}

static void parse_script(const char *path)
{
    static char copy[MAX_BYTES + 1];
    memcpy(copy, script.text, sizeof copy);
    script.count = 0;
    script.refused = false;
    size_t number = 0;
    for (char *line = copy, *next; line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = '\0';
        number++;
        line[strcspn(line, "#")] = '\0';
        if (line[strspn(line, " \t\r")] == '\0')
            continue;
        if (script.count < MAX_RULES && parse_line(line, &script.rules[script.count]))
            script.count++;
        else
            refuse(path, number, script.text + (line - copy)); /* parsing has cut up the copy */
    }
}

/* Reads at most `size` bytes into `text`; -1 when the file cannot be read. A file that is not there is empty. */
static ssize_t read_file(const char *path, char *text, size_t size, struct stat *identity)
{
    size_t length = 0;
    ssize_t got = 1;
    memset(identity, 0, sizeof *identity);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : -1;
    if (fstat(file, identity) == 0)
        while (length < size && (got = read(file, text + length, size - length)) > 0)
            length += (size_t)got;
    close(file);
    return got < 0 ? -1 : (ssize_t)length;
}

static bool same_file(const struct stat *one, const struct stat *other)
{
    return one->st_ino == other->st_ino && one->st_mtim.tv_sec == other->st_mtim.tv_sec &&
           one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

/* Counting starts anew when the file was written anew, be it with the same words. The contents are compared too: two
 * writes can fall into one tick of the file system's clock. */
static void reread(const char *path)
{
    static char text[MAX_BYTES + 1];
    struct stat identity;
    ssize_t length = read_file(path, text, MAX_BYTES, &identity);
    if (length < 0)
        strcpy(text, "(a script that cannot be read)");
    else if (length == MAX_BYTES)
        strcpy(text, "(a script that is too long)");
    else
        text[length] = '\0';
    if (strcmp(text, script.text) == 0 && same_file(&identity, &script.file))
        return;
    memcpy(script.text, text, sizeof text);
    script.file = identity;
    parse_script(path);
}

static bool matches(const Rule *rule, Function function)
{
    return rule->function == (int)function || (rule->function == EVERY_FUNCTION && function != F_C_GetFunctionList);
}

static bool strikes(Rule *rule, Function function)
{
    if (rule->act == ACT_MISSING || rule->over || !matches(rule, function))
        return false;
    if (rule->seen++ < rule->after || (rule->times && rule->struck == rule->times))
        return false;
    rule->struck++;
    return true;
}

static void apply(const Rule *rule, Effects *effects)
{
    switch (rule->act) {
    case ACT_ANSWER: effects->ending = ANSWER; effects->answer = rule->value; break;
    case ACT_HANG: effects->ending = HANG; break;
    case ACT_CRASH: effects->ending = CRASH; break;
    case ACT_EXIT: effects->ending = EXIT; break;
    case ACT_DELAY: effects->delay_ms += rule->value; break;
    case ACT_FORGET_SESSIONS: effects->forget_sessions = true; break;
    case ACT_FORGET_LOGIN: effects->forget_login = true; break;
    case ACT_OVERWRITE_IV: effects->overwrite_iv = true; break;
    case ACT_TOKEN_FLAGS: effects->token_flags |= rule->value; break;
    case ACT_RENUMBER_SLOTS: effects->renumber_slots = rule->value; break;
    case ACT_MISSING: break;
    }
}

static Effects count_call(Function function)
{
    Effects effects = {.ending = GO_ON};
    for (size_t i = 0; i < script.count; i++)
        if (script.rules[i].until == (int)function && script.rules[i].struck)
            script.rules[i].over = true;
    for (size_t i = 0; i < script.count && effects.ending == GO_ON; i++)
        if (strikes(&script.rules[i], function))
            apply(&script.rules[i], &effects);
    return effects;
}

Effects script_effects(Function function)
{
    const char *path = getenv("PKCS11_SHIM_SCRIPT");
    if (!path)
        return (Effects){.ending = GO_ON};
    pthread_mutex_lock(&script.lock);
    reread(path);
    Effects effects = count_call(function);
    if (script.refused && function != F_C_GetFunctionList) /* the caller learns of it when it initialises */
        effects = (Effects){.ending = ANSWER, .answer = CKR_GENERAL_ERROR};
    pthread_mutex_unlock(&script.lock);
    return effects;
}

bool script_is_missing(Function function)
{
    bool missing = false;
    pthread_mutex_lock(&script.lock);
    for (size_t i = 0; i < script.count; i++)
        missing |= script.rules[i].act == ACT_MISSING && matches(&script.rules[i], function);
    pthread_mutex_unlock(&script.lock);
    return missing;
}
