/* The protocol of keysvc, with a mapping store that goes back in time once. README.md says what each part stands for.

   Every step is one transaction of the mapping store, one message, or one step inside a process: it is atomic. Between
   two steps any other process may run, stop, or die. Time is not counted: a lease or a permission ends at any moment.

   `make model` runs it. */

/* The size of the system, and which guard is taken out: chosen when the verifier starts, and the same in every state. */
byte epochs;  /* grants of the lease, in each store */
byte numbers; /* version numbers: at most 3 */
bit fork_;    /* a load balancer switches late: processes reach the other store one after the other */
bit disks;    /* masters keep receipts over a crash, and answers can be late */
byte without;
#define WITHOUT_EPOCH (without == 1)
#define WITHOUT_GRANT_ID (without == 2)
#define WITHOUT_SEALING_FIRST (without == 3)
#define WITHOUT_WAITING (without == 4)
#define WITHOUT_REFUSING_NEWCOMERS (without == 5)
#define WITHOUT_QUIET_PERMISSIONS (without == 6)
#define WITHOUT_QUIET_LEASE (without == 7)
#define WITHOUT_ACTIVE_VERSION (without == 8)
#define WITHOUT_PERMISSION (without == 9)
#define WITHOUT_COMPARE_AND_SWAP (without == 10)
#define WITHOUT_READINESS (without == 11)
#define WITHOUT_ABANDONING (without == 12)
#define WITHOUT_SCAN (without == 13)
#define WITHOUT_CHECK_VALUE (without == 14)
#define WITHOUT_LOST_NUMBERS (without == 15)
#define WITHOUT_STOP_IN_COMMIT (without == 16)
#define WITHOUT_LEASE_IN_REPETITION (without == 17)
#define WITHOUT_STATES_AS_DECIDED (without == 18)
#define WITHOUT_STOPPING (without == 19)
#define WITHOUT_AUDIT_HEADS (without == 20)
#define WITHOUT_HEAD_OF_WRITER (without == 21)
#define WITHOUT_LIST_OF_GRANTS (without == 22)
#define WITHOUT_VERIFYING (without == 23)
#define WITHOUT_ACCEPTED_EPOCH (without == 24)
#define WITHOUT_RAISING (without == 25)
#define WITHOUT_EPOCH_OF_WRITER (without == 26)
#define WITHOUT_GRANT_OF_WRITER (without == 27)
#define WITHOUT_REFUSING_OLD (without == 28)

/* A secret is 1..5. Its number is 1, 2, 3, 2, 3: two secrets of one number differ by their key check value. */
#define SECRETS 5
#define NUMBER(k) ((k) > 3 -> (k) - 2 : (k))
#define BIT(k) (1 << (k))
#define TWIN(k) (k == 1 -> 1 : (k > 3 -> k - 2 : k + 2))
#define SAME_NUMBER(k) (k == 1 -> 2 : (NUMBER(k) == 2 -> 20 : 40)) /* bits */

/* An invariant of the design, by its number there; 4 is also that of readers, and 7 that whoever serves can serve. */
#define INVARIANT(number, what) assert(number && (what))

/* Who knows facts (a grant, the states of versions, an audit head): two stores, and the receipts of the members. */
#define A 0 /* the store */
#define B 1 /* the store that goes back: a copy of A, made at any moment */
#define SSO(s) (2 + (s))
#define MASTER(m) (4 + (m))

byte epoch[6];  /* 0: no grant; of a receipt: no receipt */
bit branch[6];  /* with the epoch: the grant id. Grants of B after it was copied have 1, all others 0 */
short states[6]; /* of each secret, three bits: */
#define NONE 0
#define ANNOUNCED 1
#define ACTIVE 2
#define RETIRING 3
#define DESTROYED 4
bit head[6]; /* the audit head is one that only A has: written after the copy was made */

#define STATE(who, k) ((states[who] >> (3 * ((k) - 1))) & 7)
#define SET(who, k, state) states[who] = (states[who] & ~(7 << (3 * ((k) - 1)))) | ((state) << (3 * ((k) - 1)))
#define LIVE(who, k) (STATE(who, k) != NONE && STATE(who, k) != DESTROYED)
#define THE(who, state) \
    (STATE(who, 1) == state -> 1 : (STATE(who, 2) == state -> 2 : (STATE(who, 3) == state -> 3 : \
    (STATE(who, 4) == state -> 4 : (STATE(who, 5) == state -> 5 : 0)))))
#define HIGHEST(who) /* number */ \
    (STATE(who, 3) || STATE(who, 5) -> 3 : (STATE(who, 2) || STATE(who, 4) -> 2 : 1))

/* The stores */
byte row[2];      /* the secret under which the one credential is encrypted */
bit turned_back[2];
byte shown[2];    /* the highest epoch of a receipt that this store is behind */
byte accepted[2]; /* the epoch up to which an administrator accepted what is lost */
byte lost[2];     /* bits: versions that only a receipt names */
byte copied;      /* the epoch at which B was copied, plus one; 0: not yet */
bit went_back;    /* somebody uses B */

/* The master secret servers */
byte term[2];       /* the epoch of the grant that this process believes to hold; 0: none */
bit term_branch[2];
bit valid[2];       /* the lease runs, by the clock of the process */
bit settled[2];     /* the quiet time after the grant is over */
byte holds[2];      /* bits: SSO servers that said that they hold the announced version */
byte sealed[2];     /* bits: secrets in the key store, which survives */
byte doing[2];      /* what was decided and is not committed yet: */
#define ANNOUNCE 1
#define ACTIVATE 2
#define REENCRYPT 3
#define DESTROY 4
#define SEAL 5 /* only where a version is announced before it is sealed */
byte subject[2];    /* the secret of that */
bit overtaken[2];   /* a user stored the credential after re-encryption read it */
bit master_at[2];   /* the store that this process reaches: A or B */
bit reconnects[2];  /* the connection for what it is doing was lost when the store went back */

/* The SSO servers; versions in memory are those that the receipt names as live */
byte permitted[2]; /* by whom: 0 nobody, 1 + m: the present term of m; OLDER: an earlier term */
#define OLDER 3
byte writing[2];   /* a credential is encrypted under this secret and not stored yet */
bit server_at[2];
byte destroyed;     /* only for the assertions: bits, versions that were destroyed in one store after the copy */
bit remembers[2];  /* only for the assertions: this server saw something of A that B lacks (a grant aside) */

#define STORE(m) master_at[m]
#define SAME_EPOCH(m) (term[m] == epoch[STORE(m)])
#define FENCED(m) (WITHOUT_EPOCH -> false : (WITHOUT_GRANT_ID -> (!SAME_EPOCH(m)) : (!(SAME_EPOCH(m) && term_branch[m] == branch[STORE(m)]))))
#define HOLDS_LEASE(m) (term[m] && SAME_EPOCH(m) && term_branch[m] == branch[STORE(m)])
#define HELD(s, k) LIVE(SSO(s), k)

/* Whether the grant is one of this store. */
#define GRANT_IS_OF(who, x) (epoch[who] <= epoch[x] && \
    (x == A -> branch[who] == 0 : branch[who] == 1 || epoch[who] < copied))
/* The same, by what a store knows without a list of its grants. */
#define GRANT_SEEMS_OF(who, x) (epoch[who] < epoch[x] || (epoch[who] == epoch[x] && branch[who] == branch[x]))
#define KNOWS_GRANT(who, x) (WITHOUT_LIST_OF_GRANTS -> GRANT_SEEMS_OF(who, x) : GRANT_IS_OF(who, x))
#define AHEAD(who, x, k) (STATE(who, k) > STATE(x, k))
#define HEAD_MISSING(who, x) (!WITHOUT_AUDIT_HEADS && (head[who] && x == B))
#define IS_SETTLED(e, x) (!WITHOUT_ACCEPTED_EPOCH && ((e) <= accepted[x]))
#define BEHIND(who, x) (epoch[who] && !IS_SETTLED(epoch[who], x) && (!KNOWS_GRANT(who, x) || HEAD_MISSING(who, x) \
    || AHEAD(who, x, 1) || AHEAD(who, x, 2) || AHEAD(who, x, 3) || AHEAD(who, x, 4) || AHEAD(who, x, 5)))

inline copy_facts(to, from) {
    epoch[to] = epoch[from]; branch[to] = branch[from]; states[to] = states[from]; head[to] = head[from]
}

inline note_lost(who, x, k) {
    if
    :: STATE(who, k) && !STATE(x, k) ->
        lost[x] = lost[x] | BIT(k);
        SET(x, k, (WITHOUT_LOST_NUMBERS -> NONE : DESTROYED))
    :: else
    fi
}

/* A member shows its receipt: the store that is behind it is turned back. */
inline show_receipt(who, x) {
    if
    :: BEHIND(who, x) ->
        turned_back[x] = 1;
        shown[x] = (epoch[who] > shown[x] -> epoch[who] : shown[x]);
        note_lost(who, x, 2); note_lost(who, x, 3); note_lost(who, x, 4); note_lost(who, x, 5)
    :: else
    fi
}

inline end_term(m) {
    permitted[0] = (permitted[0] == m + 1 -> OLDER : permitted[0]);
    permitted[1] = (permitted[1] == m + 1 -> OLDER : permitted[1])
}

inline drop(m) {
    doing[m] = 0; subject[m] = 0; overtaken[m] = 0; reconnects[m] = 0
}

/* Everything that the process had in memory is gone. */
inline forget(m) {
    term[m] = 0; term_branch[m] = 0; valid[m] = 0; settled[m] = 0; holds[m] = 0;
    drop(m);
    end_term(m)
}

inline write_audit(x) {
    head[x] = (x == A && copied -> 1 : head[x])
}

/* After a commit of its own, a master announces what the store has: it signs a receipt, and keeps it on disk. */
inline sign(m) {
    if
    :: disks -> copy_facts(MASTER(m), STORE(m))
    :: else
    fi
}

/* The new number is above all that the store knows. A secret that was sealed and never announced is used. */
#define FRESH(k) (!((sealed[0] | sealed[1]) & BIT(k)) && !STATE(A, k) && !STATE(B, k) && !STATE(SSO(0), k) && \
    !STATE(SSO(1), k) && !STATE(MASTER(0), k) && !STATE(MASTER(1), k) && writing[0] != k && writing[1] != k)
#define NEXT(m) (HIGHEST(STORE(m)) + 1)
#define CHOSEN(m) (NEXT(m) > numbers -> 0 : \
    (sealed[m] & BIT(NEXT(m)) -> NEXT(m) : (sealed[m] & BIT(NEXT(m) + 2) -> NEXT(m) + 2 : \
    (FRESH(NEXT(m)) -> NEXT(m) : (FRESH(NEXT(m) + 2) -> NEXT(m) + 2 : 0)))))

#define MAY_ACT(m) (valid[m] && settled[m] && !doing[m] && HOLDS_LEASE(m) && !turned_back[STORE(m)])

#define CAN_RAISE(x) (shown[x] < epochs && epoch[x] < epochs)
#define IS_UNUSED(x, k) (WITHOUT_SCAN || (row[x] != k))
#define IS_UNCHANGED(m) (WITHOUT_COMPARE_AND_SWAP || (!overtaken[m]))

/* How long a master waits after its grant: until no permission of another term runs, and no other lease */
#define NO_OTHER_PERMISSION(m, s) (WITHOUT_QUIET_PERMISSIONS || (permitted[s] == 0 || permitted[s] == m + 1))
#define NO_OTHER_LEASE(m) (WITHOUT_QUIET_LEASE || (!valid[1 - m]))
#define IS_QUIET(m) (NO_OTHER_PERMISSION(m, 0) && NO_OTHER_PERMISSION(m, 1) && NO_OTHER_LEASE(m))

/* Those that polled in an earlier term are not in its list: the store may have lost it. The quiet time covers them. */
#define HAS_IT(m, s) (WITHOUT_WAITING || (holds[m] & BIT(s)) || permitted[s] != m + 1)

/* A lease can be granted when the one before it is over; a copy of the store does not know how it was renewed. */
#define IS_FREE(m) (!(valid[1 - m] && term[1 - m] == epoch[STORE(m)] && term_branch[1 - m] == branch[STORE(m)] \
    && (STORE(m) == A || term_branch[1 - m])))
#define CAN_SERVE(m, k) (WITHOUT_READINESS || ((STATE(STORE(m), k) != ACTIVE && STATE(STORE(m), k) != RETIRING) || (sealed[m] & BIT(k))))
#define IS_READY(m) (CAN_SERVE(m, 1) && CAN_SERVE(m, 2) && CAN_SERVE(m, 3) && CAN_SERVE(m, 4) && CAN_SERVE(m, 5))

inline abandon(m, k) {
    if
    :: !WITHOUT_ABANDONING && STATE(STORE(m), k) == ANNOUNCED && !(sealed[m] & BIT(k)) -> SET(STORE(m), k, DESTROYED); write_audit(STORE(m))
    :: else
    fi
}

inline remove_destroyed(m, k) {
    if
    :: STATE(STORE(m), k) == DESTROYED && !(lost[STORE(m)] & BIT(k)) -> sealed[m] = sealed[m] & ~BIT(k)
    :: else
    fi
}

/* What the store records as destroyed is removed from the key store: after the commit, when a term begins, and by
   standbys. Versions that only a receipt names stay. */
inline remove_all_destroyed(m) {
    remove_destroyed(m, 1); remove_destroyed(m, 2); remove_destroyed(m, 3); remove_destroyed(m, 4);
    remove_destroyed(m, 5)
}

/* What it does not need before the next grant is forgotten, so that fewer states differ. */
inline lose_lease(m) {
    if
    :: !doing[m] && !disks -> forget(m)
    :: else -> valid[m] = 0; settled[m] = 0; holds[m] = 0; end_term(m)
    fi
}

byte granted;

inline begin_term(m) {
    epoch[STORE(m)] = granted;
    branch[STORE(m)] = STORE(m) == B;
    forget(m);
    term[m] = granted; term_branch[m] = branch[STORE(m)]; valid[m] = 1;
    abandon(m, 2); abandon(m, 3); abandon(m, 4); abandon(m, 5);
    remove_all_destroyed(m);
    sign(m)
}

inline seal_as(m, o, k, twin) {
    if
    :: LIVE(STORE(o), k) && (sealed[o] & BIT(k)) ->
        if /* sealed here and never announced: its successor used the number for another */
        :: (sealed[m] & BIT(twin)) && !STATE(MASTER(m), twin) && !STATE(STORE(o), twin) ->
            sealed[m] = sealed[m] & ~BIT(twin)
        :: else
        fi;
        sealed[m] = (sealed[m] & BIT(twin) -> sealed[m] : sealed[m] | BIT(k))
    :: else
    fi
}

inline write(m) {
    INVARIANT(1, HOLDS_LEASE(m)) /* whoever writes holds the lease of this store */;
    if
    :: doing[m] == ANNOUNCE ->
        INVARIANT(11, !(lost[STORE(m)] & SAME_NUMBER(subject[m]) & ~BIT(subject[m])));
        SET(STORE(m), subject[m], ANNOUNCED);
        holds[m] = 0;
        write_audit(STORE(m))
    :: doing[m] == ACTIVATE ->
        INVARIANT(3, (!permitted[0] || HELD(0, subject[m])) && (!permitted[1] || HELD(1, subject[m])));
        SET(STORE(m), THE(STORE(m), ACTIVE), RETIRING);
        SET(STORE(m), subject[m], ACTIVE);
        holds[m] = 0;
        write_audit(STORE(m))
    :: doing[m] == REENCRYPT ->
        if
        :: IS_UNCHANGED(m) ->
            INVARIANT(6, !overtaken[m]) /* a user's own update wins */;
            row[STORE(m)] = subject[m]
        :: else
        fi
    :: doing[m] == DESTROY ->
        if
        :: IS_UNUSED(STORE(m), subject[m]) ->
            SET(STORE(m), subject[m], DESTROYED);
            remove_destroyed(m, subject[m]);
            destroyed = (copied -> destroyed | BIT(subject[m]) : 0);
            write_audit(STORE(m))
        :: else
        fi
    fi;
    if
    :: WITHOUT_SEALING_FIRST && doing[m] == ANNOUNCE -> doing[m] = SEAL
    :: else -> drop(m)
    fi;
    sign(m)
}

/* Whether the store is turned back is asked again in the transaction: the receipt may have come meanwhile. */
#define STOPS_COMMIT(m) (!WITHOUT_STOP_IN_COMMIT && turned_back[STORE(m)])
/* The version is in the state that it had when this was decided. */
#define STATE_NOW(m) STATE(STORE(m), subject[m])
#define AS_DECIDED(m) (WITHOUT_STATES_AS_DECIDED || (doing[m] == ANNOUNCE && STATE_NOW(m) == NONE && NEXT(m) == NUMBER(subject[m])) \
    || (doing[m] == ACTIVATE && STATE_NOW(m) == ANNOUNCED) || (doing[m] == REENCRYPT && STATE_NOW(m) == ACTIVE) \
    || (doing[m] == DESTROY && STATE_NOW(m) == RETIRING))
/* A transaction that is repeated on another connection asks first whether the lease still runs. */
#define MAY_REPEAT(m) (WITHOUT_LEASE_IN_REPETITION || (!reconnects[m] || valid[m]))

/* What was decided is committed, if this process holds the lease at that moment; otherwise it stops being a master. */
inline commit(m) {
    if
    :: FENCED(m) -> forget(m)
    :: !FENCED(m) && (STOPS_COMMIT(m) || !MAY_REPEAT(m) || !AS_DECIDED(m)) -> drop(m)
    :: else -> write(m)
    fi
}

/* 4, 8 and 11: the credential is under a version of its store that is not destroyed */
#define READABLE(x) (row[x] == 0 || STATE(x, row[x]) == ACTIVE || STATE(x, row[x]) == RETIRING)
/* 2 and 8: a key store has that version, unless the history that was lost destroyed it */
#define KEPT(x) (row[x] == 0 || ((sealed[0] | sealed[1]) & BIT(row[x])) || destroyed & BIT(row[x]))
/* The master holds what it announces */
#define SERVES(m) (!(valid[m] && HOLDS_LEASE(m)) || states[STORE(m)] == 0 || (HAS_ALL(m)))
#define HAS(m, k) (!LIVE(STORE(m), k) || ((sealed[m] | destroyed) & BIT(k)))
#define HAS_ALL(m) (HAS(m, 1) && HAS(m, 2) && HAS(m, 3) && HAS(m, 4) && HAS(m, 5))
/* 3: who may encrypt by the master of its store holds the active version */
#define CAN_READ(s, m) (!(permitted[s] == m + 1 && HOLDS_LEASE(m) && STORE(m) == server_at[s]) \
    || HELD(s, THE(STORE(m), ACTIVE)) || BEHIND(SSO(s), STORE(m)))

/* Two SSO servers are alike, and so are two masters: of states that differ by an exchange, one is kept. In C, because
   it runs at every step. */
c_code {
    static int chosen(const char *name) {
        const char *value = getenv(name);
        return value ? atoi(value) : 0;
    }

    static long server_key(int s) {
        return now.states[2 + s] | now.epoch[2 + s] << 15 | now.branch[2 + s] << 18 | now.head[2 + s] << 19
            | now.permitted[s] << 20 | now.writing[s] << 22 | now.server_at[s] << 25 | now.remembers[s] << 26
            | (long) (now.holds[0] >> s & 1) << 27 | (long) (now.holds[1] >> s & 1) << 28;
    }

    static long master_key(int m) {
        return now.states[4 + m] | now.epoch[4 + m] << 15 | now.branch[4 + m] << 18 | now.head[4 + m] << 19
            | now.term[m] << 20 | now.term_branch[m] << 23 | now.valid[m] << 24 | now.settled[m] << 25
            | now.doing[m] << 26 | now.overtaken[m] << 29 | (long) now.master_at[m] << 30 | (long) now.sealed[m] << 31
            | (long) now.subject[m] << 37 | (long) now.holds[m] << 40 | (long) now.reconnects[m] << 42;
    }

    #define EXCHANGE(a, b) { int kept = a; a = b; b = kept; }
    #define EXCHANGE_BOTH(array) EXCHANGE(now.array[0], now.array[1])
    #define EXCHANGE_FACTS(a, b) EXCHANGE(now.epoch[a], now.epoch[b]) EXCHANGE(now.branch[a], now.branch[b]) \
        EXCHANGE(now.states[a], now.states[b]) EXCHANGE(now.head[a], now.head[b])

    static void exchange_masters(void) {
        int s;
        EXCHANGE_FACTS(4, 5)
        EXCHANGE_BOTH(term) EXCHANGE_BOTH(term_branch) EXCHANGE_BOTH(valid) EXCHANGE_BOTH(settled) EXCHANGE_BOTH(holds)
        EXCHANGE_BOTH(sealed) EXCHANGE_BOTH(doing) EXCHANGE_BOTH(subject) EXCHANGE_BOTH(overtaken)
        EXCHANGE_BOTH(master_at) EXCHANGE_BOTH(reconnects)
        for (s = 0; s < 2; s++)
            if (now.permitted[s] == 1 || now.permitted[s] == 2) now.permitted[s] = 3 - now.permitted[s];
    }

    static void exchange_servers(void) {
        int m;
        EXCHANGE_FACTS(2, 3)
        EXCHANGE_BOTH(permitted) EXCHANGE_BOTH(writing) EXCHANGE_BOTH(server_at) EXCHANGE_BOTH(remembers)
        for (m = 0; m < 2; m++) now.holds[m] = (now.holds[m] & 1) << 1 | now.holds[m] >> 1;
    }

    static void tidy(void) {
        if (master_key(0) > master_key(1)) exchange_masters();
        if (server_key(0) > server_key(1)) exchange_servers();
        now.granted = 0;
    }
}

inline done() {
    INVARIANT(4, READABLE(A) && READABLE(B));
    INVARIANT(2, KEPT(A) && KEPT(B));
    INVARIANT(7, SERVES(0) && SERVES(1));
    INVARIANT(3, CAN_READ(0, 0) && CAN_READ(0, 1) && CAN_READ(1, 0) && CAN_READ(1, 1));
    INVARIANT(12, (!turned_back[A] && !turned_back[B]) || went_back) /* nobody can make it up */;
    c_code { tidy(); }
}

proctype master(bit m) {
    do
    /* The lease */
    :: d_step { !valid[m] && epoch[STORE(m)] < epochs && IS_FREE(m) && IS_READY(m) ->
        show_receipt(MASTER(m), STORE(m));
        granted = epoch[STORE(m)] + 1;
        begin_term(m);
        done() }
    :: d_step { valid[m] -> lose_lease(m); done() } /* paused, or cut off */
    :: d_step { HOLDS_LEASE(m) && valid[m] && !settled[m] && IS_QUIET(m) -> settled[m] = 1; done() }
    /* A version */
    :: d_step { MAY_ACT(m) && !THE(STORE(m), ANNOUNCED) && CHOSEN(m) ->
        doing[m] = ANNOUNCE; subject[m] = CHOSEN(m);
        sealed[m] = (WITHOUT_SEALING_FIRST -> sealed[m] : sealed[m] | BIT(subject[m]));
        done() }
    :: d_step { doing[m] == SEAL -> sealed[m] = sealed[m] | BIT(subject[m]); drop(m); done() }
    :: d_step { MAY_ACT(m) && THE(STORE(m), ANNOUNCED) && HAS_IT(m, 0) && HAS_IT(m, 1) ->
        doing[m] = ACTIVATE; subject[m] = THE(STORE(m), ANNOUNCED); done() }
    :: d_step { MAY_ACT(m) && STATE(STORE(m), row[STORE(m)]) == RETIRING ->
        doing[m] = REENCRYPT; subject[m] = THE(STORE(m), ACTIVE); done() }
    :: d_step { MAY_ACT(m) && THE(STORE(m), RETIRING) && IS_UNUSED(STORE(m), THE(STORE(m), RETIRING)) ->
        doing[m] = DESTROY; subject[m] = THE(STORE(m), RETIRING); done() }
    :: d_step { doing[m] && doing[m] != SEAL -> commit(m); done() }
    /* As a standby it polls the active one, shows its receipt, and seals what is announced */
    :: d_step { !term[m] && valid[1 - m] && HOLDS_LEASE(1 - m) && STORE(m) == STORE(1 - m) ->
        show_receipt(MASTER(m), STORE(m));
        if
        :: !turned_back[STORE(m)] ->
            seal_as(m, 1 - m, 2, 4); seal_as(m, 1 - m, 4, 2); seal_as(m, 1 - m, 3, 5); seal_as(m, 1 - m, 5, 3);
            remove_all_destroyed(m);
            sign(m)
        :: else
        fi;
        done() }
    /* An administrator accepts the store */
    :: d_step { HOLDS_LEASE(m) && valid[m] && turned_back[STORE(m)] && CAN_RAISE(STORE(m)) ->
        accepted[STORE(m)] = shown[STORE(m)];
        turned_back[STORE(m)] = 0;
        granted = 1 + (WITHOUT_RAISING || epoch[STORE(m)] > shown[STORE(m)] -> epoch[STORE(m)] : shown[STORE(m)]);
        begin_term(m);
        shown[STORE(m)] = 0;
        done() }
    /* Faults */
    :: d_step { term[m] -> forget(m); done() } /* kill -9 */
    :: d_step { !term[m] && epoch[MASTER(m)] -> /* its disk is lost, but for the key store */
        epoch[MASTER(m)] = 0; branch[MASTER(m)] = 0; states[MASTER(m)] = 0; head[MASTER(m)] = 0; done() }
    od
}

/* By number alone, or by number and check value. */
#define HAS_NUMBER(s, k) (HELD(s, k) || (WITHOUT_CHECK_VALUE && HELD(s, TWIN(k))))
#define IS_ACTIVE(x, k) (STATE(x, k) == ACTIVE || (WITHOUT_CHECK_VALUE && STATE(x, TWIN(k)) == ACTIVE))

#define SERVER_SAW_LOST(s) (remembers[s] || (epoch[SSO(s)] && !branch[SSO(s)] && epoch[SSO(s)] >= copied))

/* A number that is held is not fetched again. */
inline keep_old(s, x, k, twin) {
    SET(SSO(s), 1, STATE(x, 1));
    if
    :: LIVE(x, k) && HELD(s, twin) && !STATE(x, twin) -> SET(SSO(s), twin, STATE(x, k))
    :: LIVE(x, twin) && HELD(s, k) && !STATE(x, k) -> SET(SSO(s), k, STATE(x, twin))
    :: else -> SET(SSO(s), k, STATE(x, k)); SET(SSO(s), twin, STATE(x, twin))
    fi
}

inline fetch(s, x) {
    if
    :: WITHOUT_CHECK_VALUE -> keep_old(s, x, 2, 4); keep_old(s, x, 3, 5)
    :: else -> states[SSO(s)] = states[x]
    fi;
    epoch[SSO(s)] = epoch[x]; branch[SSO(s)] = branch[x]; head[SSO(s)] = head[x];
    remembers[s] = head[x]
}

/* The answer of a master that holds the lease of its store. */
inline answer(s, m, x) {
    show_receipt(SSO(s), x);
    if
    :: turned_back[x] && !WITHOUT_STOPPING -> skip /* lookups go on with what is held; no permission to encrypt */
    :: !turned_back[x] && doing[m] == ACTIVATE && !HAS_NUMBER(s, subject[m]) && !WITHOUT_REFUSING_NEWCOMERS -> skip
    :: else ->
        holds[m] = (THE(x, ANNOUNCED) && HAS_NUMBER(s, THE(x, ANNOUNCED)) -> holds[m] | BIT(s) : holds[m]);
        /* who saw what this store has lost gets no permission on it before it is accepted */
        INVARIANT(12, !(x == B && SERVER_SAW_LOST(s) && epoch[SSO(s)] > accepted[B]));
        INVARIANT(12, !turned_back[x]);
        if
        :: epoch[SSO(s)] < term[m] || (epoch[SSO(s)] == term[m] && branch[SSO(s)] == term_branch[m]) ->
            fetch(s, x);
            permitted[s] = m + 1
        :: else -> INVARIANT(12, false) /* after an acceptance nobody refuses the master */
        fi
    fi
}

inline overtake(m, x) {
    overtaken[m] = (doing[m] == REENCRYPT && STORE(m) == x -> 1 : overtaken[m])
}

#define WRITER_MAY(s, x) (WITHOUT_EPOCH_OF_WRITER || KNOWS_GRANT(SSO(s), x) || \
    (WITHOUT_GRANT_OF_WRITER && epoch[SSO(s)] <= epoch[x]))
#define VERSION_MAY(x, k) (WITHOUT_ACTIVE_VERSION || IS_ACTIVE(x, k))
#define MAY_ENCRYPT(s) (WITHOUT_PERMISSION || permitted[s])

inline store_credential(s, x) {
    if
    :: WRITER_MAY(s, x) && VERSION_MAY(x, writing[s]) ->
        /* not on a store that has lost the grant that its writer saw */
        INVARIANT(13, !(x == B && epoch[SSO(s)] && !branch[SSO(s)] && epoch[SSO(s)] >= copied));
        row[x] = writing[s];
        write_audit(x);
        overtake(0, x); overtake(1, x);
        head[SSO(s)] = (WITHOUT_HEAD_OF_WRITER -> head[SSO(s)] : head[x]);
        remembers[s] = head[x]
    :: else
    fi;
    writing[s] = 0
}

#define IS_NOT_OLD(who, s) (WITHOUT_REFUSING_OLD || (epoch[who] > epoch[SSO(s)] || \
    (epoch[who] == epoch[SSO(s)] && branch[who] == branch[SSO(s)])))

inline poll(s, m) {
    if
    :: HOLDS_LEASE(m) -> answer(s, m, STORE(m))
    :: else -> /* from memory: nothing changed since. It does not know yet that its store went back */
        if
        :: epoch[SSO(s)] == term[m] && branch[SSO(s)] == term_branch[m] && doing[m] != ACTIVATE -> permitted[s] = m + 1
        :: else
        fi
    fi
}

/* An answer that was on its way for long: it brings no permission, which counts from when the poll was sent. */
inline late_answer(s, m) {
    if
    :: epoch[MASTER(m)] && IS_NOT_OLD(MASTER(m), s) ->
        copy_facts(SSO(s), MASTER(m));
        remembers[s] = head[MASTER(m)]
    :: else
    fi
}

proctype sso_server(bit s) {
    do
    :: d_step { valid[0] -> poll(s, 0); done() }
    :: d_step { valid[1] -> poll(s, 1); done() }
    :: d_step { disks && term[0] && !valid[0] -> late_answer(s, 0); done() }
    :: d_step { disks && term[1] && !valid[1] -> late_answer(s, 1); done() }
    :: d_step { permitted[s] -> permitted[s] = 0; done() } /* two poll intervals without an answer */
    :: d_step { !writing[0] && !writing[1] && MAY_ENCRYPT(s) && THE(SSO(s), ACTIVE) ->
        INVARIANT(5, permitted[s]);
        writing[s] = THE(SSO(s), ACTIVE); done() }
    :: d_step { writing[s] -> store_credential(s, server_at[s]); done() }
    :: d_step { epoch[SSO(s)] -> /* it is started anew, without a receipt */
        epoch[SSO(s)] = 0; branch[SSO(s)] = 0; states[SSO(s)] = 0; head[SSO(s)] = 0; remembers[s] = 0;
        permitted[s] = 0; writing[s] = 0; done() }
    od
}

/* Whoever has a certificate may show any receipt that ever was, and any that was never signed by a master. */
proctype liar() {
    do
    :: d_step { WITHOUT_VERIFYING && valid[0] && HOLDS_LEASE(0) -> turned_back[STORE(0)] = 1; done() }
    :: d_step { valid[0] && HOLDS_LEASE(0) && accepted[STORE(0)] && !IS_SETTLED(accepted[STORE(0)], STORE(0)) ->
        turned_back[STORE(0)] = 1; INVARIANT(12, false) } /* a receipt that was accepted stops everybody again */
    od
}

inline move_master(m) {
    master_at[m] = B; went_back = 1;
    reconnects[m] = doing[m] > 0
}

proctype storage() {
    d_step { epoch[A] ->
        copy_facts(B, A); row[B] = row[A]; copied = epoch[A] + 1;
        done() };
    do
    :: d_step { fork_ && !master_at[0] -> move_master(0); done() }
    :: d_step { fork_ && !master_at[1] -> move_master(1); done() }
    :: d_step { fork_ && !server_at[0] -> server_at[0] = B; went_back = 1; done() }
    :: d_step { fork_ && !server_at[1] -> server_at[1] = B; went_back = 1; done() }
    :: d_step { !fork_ && !went_back ->
        move_master(0); move_master(1); server_at[0] = B; server_at[1] = B;
        epoch[A] = 0; branch[A] = 0; states[A] = 0; head[A] = 0; row[A] = 0;
        done() }
    od
}

init {
    atomic {
        c_code {
            now.without = chosen("WITHOUT"); now.epochs = chosen("EPOCHS"); now.numbers = chosen("NUMBERS");
            now.fork_ = chosen("FORK"); now.disks = chosen("DISKS");
        };
        SET(A, 1, ACTIVE);
        row[A] = 1;
        sealed[0] = BIT(1); sealed[1] = BIT(1);
        run master(0); run master(1); run sso_server(0); run sso_server(1); run liar(); run storage()
    }
}
