/* A PKCS #11 module that stands between an application and a real module, and lets chosen calls fail. See README.md.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

#define EXPORTED __attribute__((visibility("default")))

const CK_FUNCTION_LIST *module;

/* One line for each call: its name and what it answered. Never an argument: those hold PINs and keys. */
static void trace(Function function, const char *answer)
{
    const char *path = getenv("PKCS11_SHIM_TRACE");
    char line[128];
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file < 0)
        return;
    int length = snprintf(line, sizeof line, "%s %s\n", function_name(function), answer);
    if (write(file, line, (size_t)length) != length) /* one write, so that lines of several processes do not mix */
        fprintf(stderr, "pkcs11-shim: cannot write the trace\n");
    close(file);
}

static CK_RV traced(Function function, CK_RV rv)
{
    char number[32];
    snprintf(number, sizeof number, "0x%08lx", rv);
    trace(function, result_name(rv) ? result_name(rv) : number);
    return rv;
}

static void pause_for(unsigned long milliseconds)
{
    struct timespec left = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
    while (milliseconds && nanosleep(&left, &left) != 0)
        ;
}

/* What happens before, or instead of, the call of the module. True when `rv` is the answer. */
static bool is_answered(Function function, const Effects *effects, CK_RV *rv)
{
    pause_for(effects->delay_ms);
    if (effects->forget_login)
        device_forget_login();
    if (effects->forget_sessions)
        device_forget_sessions();
    switch (effects->ending) {
    case GO_ON: *rv = device_refuses(function); return *rv != CKR_OK;
    case ANSWER: *rv = effects->answer; return true;
    case HANG: trace(function, "hang"); for (;;) pause();
    case CRASH: trace(function, "crash"); abort();
    case EXIT: trace(function, "exit"); _exit(1);
    }
    return false;
}

/* The shim's own function for each of PKCS #11, by kind. */
#define FUNCTION(kind, name, parameters, arguments) DEFINE_##kind(name, parameters, arguments)
#define DEFINE_PLAIN(name, parameters, arguments) DEFINE(name, parameters, module->name arguments)
#define DEFINE_SLOT(name, parameters, arguments) \
    DEFINE(name, parameters, (slot = real_slot(slot), module->name arguments))
#define DEFINE_MECHANISM(name, parameters, arguments) \
    DEFINE(name, parameters,                          \
           mechanism && device_hides(mechanism->mechanism) ? CKR_MECHANISM_INVALID : module->name arguments)
#define DEFINE_OWN(name, parameters, arguments) \
    DEFINE(name, parameters, device_##name(&effects, WITHOUT_PARENTHESES arguments))
#define DEFINE_LIST(name, parameters, arguments) EXPORTED CK_RV name parameters;
#define DEFINE(name, parameters, call)                                   \
    static CK_RV shim_##name parameters                                  \
    {                                                                    \
        const Effects effects = script_effects(F_##name);                \
        CK_RV rv;                                                        \
        if (!is_answered(F_##name, &effects, &rv))                       \
            rv = module->name ? (call) : CKR_FUNCTION_NOT_SUPPORTED;     \
        return traced(F_##name, rv);                                     \
    }
#include "functions.h"
#undef FUNCTION

static bool load_module(void)
{
    const char *path = getenv("PKCS11_SHIM_MODULE");
    CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *list = NULL;
    if (!path) {
        fprintf(stderr, "pkcs11-shim: PKCS11_SHIM_MODULE is not set: it names the module to stand before\n");
        return false;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!symbol) {
        fprintf(stderr, "pkcs11-shim: %s\n", dlerror());
        return false;
    }
    memcpy(&get_list, &symbol, sizeof get_list); /* ISO C has no conversion from a data to a function pointer */
    if (get_list == C_GetFunctionList) {
        fprintf(stderr, "pkcs11-shim: PKCS11_SHIM_MODULE names the shim itself: name the module to stand before\n");
        return false;
    }
    if (get_list(&list) != CKR_OK || !list) {
        fprintf(stderr, "pkcs11-shim: %s: C_GetFunctionList failed\n", path);
        return false;
    }
    module = list;
    return true;
}

/* Module and settings are found once a process; which functions are missing, at each call. */
static CK_RV get_function_list(CK_FUNCTION_LIST **list)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static CK_FUNCTION_LIST shim;
    if (!list)
        return CKR_ARGUMENTS_BAD;
    pthread_mutex_lock(&lock);
    bool ready = module || (device_configure() && load_module());
    if (ready) {
        shim.version = module->version;
#define FUNCTION(kind, name, parameters, arguments) \
    shim.name = script_is_missing(F_##name) ? NULL : LISTED_##kind(name);
#define LISTED_PLAIN(name) shim_##name
#define LISTED_SLOT(name) shim_##name
#define LISTED_MECHANISM(name) shim_##name
#define LISTED_OWN(name) shim_##name
#define LISTED_LIST(name) name
#include "functions.h"
#undef FUNCTION
        *list = &shim;
    }
    pthread_mutex_unlock(&lock);
    return ready ? CKR_OK : CKR_GENERAL_ERROR;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    const Effects effects = script_effects(F_C_GetFunctionList);
    CK_RV rv;
    if (!is_answered(F_C_GetFunctionList, &effects, &rv))
        rv = get_function_list(list);
    return traced(F_C_GetFunctionList, rv);
}
