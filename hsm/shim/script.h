/* The script: which faults the next calls meet. Its language is described in README.md.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>

#include "cryptoki.h"

typedef enum { GO_ON, ANSWER, HANG, CRASH, EXIT } Ending;

/* What the script does to one call. */
typedef struct {
    Ending ending;
    CK_RV answer; /* when the ending is ANSWER */
    unsigned long delay_ms;
    bool forget_sessions;
    bool forget_login;
    bool overwrite_iv;
    CK_FLAGS token_flags;
    CK_SLOT_ID renumber_slots;
} Effects;

/* Reads the script anew and counts one call of the function. A script with a line that is not understood answers every
 * call with CKR_GENERAL_ERROR; the line goes to stderr, once. Any thread may call it. */
Effects script_effects(Function function);

/* Whether the script leaves the function out of the function list. */
bool script_is_missing(Function function);

const char *function_name(Function function);

/* NULL for a value that the standard does not name. */
const char *result_name(CK_RV result);

#endif
