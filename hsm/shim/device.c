/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HIDDEN = 64, MAX_KEPT = 4096 };

static struct {
    unsigned long max_sessions; /* 0: no limit */
    CK_MECHANISM_TYPE hidden[MAX_HIDDEN];
    size_t hidden_count;
    bool refuse_forked;
    const char *wrong_pins; /* a file whose size is the number of wrong PINs since the last right one */
    unsigned long max_wrong_pins;
} settings;

static struct {
    pthread_mutex_t lock;
    struct { CK_SESSION_HANDLE handle; CK_SLOT_ID slot; } open[MAX_KEPT]; /* slots as the module numbers them */
    size_t count;
} sessions = {.lock = PTHREAD_MUTEX_INITIALIZER};

static CK_SLOT_ID slot_shift;
static pid_t initialized_by;

/* Settings ------------------------------------------------------------------------------------------------------- */

static bool not_understood(const char *name, const char *value)
{
    fprintf(stderr, "pkcs11-shim: %s: not understood: %s\n", name, value);
    return false;
}

static bool read_number(const char *name, unsigned long *number)
{
    char *end;
    const char *value = getenv(name);
    if (!value)
        return true;
    errno = 0;
    *number = strtoul(value, &end, 0);
    return (*value >= '0' && *value <= '9' && *end == '\0' && errno == 0) || not_understood(name, value);
}

static bool read_hidden(const char *name)
{
    const char *value = getenv(name), *rest = value;
    char *end;
    for (settings.hidden_count = 0; rest && *rest; rest = *end == ',' ? end + 1 : end) {
        CK_MECHANISM_TYPE type = strtoul(rest, &end, 0);
        if (end == rest || (*end != ',' && *end != '\0') || settings.hidden_count == MAX_HIDDEN)
            return not_understood(name, value);
        settings.hidden[settings.hidden_count++] = type;
    }
    return true;
}

bool device_configure(void)
{
    unsigned long refuse_forked = 0;
    settings.max_wrong_pins = 3;
    settings.wrong_pins = getenv("PKCS11_SHIM_WRONG_PINS");
    bool understood = read_number("PKCS11_SHIM_MAX_SESSIONS", &settings.max_sessions) &&
                      read_number("PKCS11_SHIM_MAX_WRONG_PINS", &settings.max_wrong_pins) &&
                      read_number("PKCS11_SHIM_REFUSE_FORKED", &refuse_forked) &&
                      read_hidden("PKCS11_SHIM_HIDE_MECHANISMS");
    settings.refuse_forked = refuse_forked != 0;
    return understood;
}

/* Initialisation and forks --------------------------------------------------------------------------------------- */

static bool is_forked(void)
{
    return settings.refuse_forked && initialized_by != 0 && initialized_by != getpid();
}

CK_RV device_refuses(Function function)
{
    return is_forked() && function != F_C_Initialize && function != F_C_GetFunctionList ? CKR_CRYPTOKI_NOT_INITIALIZED
                                                                                        : CKR_OK;
}

static void forget(void)
{
    pthread_mutex_lock(&sessions.lock);
    sessions.count = 0;
    pthread_mutex_unlock(&sessions.lock);
}

CK_RV device_C_Initialize(const Effects *effects, void *init_args)
{
    if (is_forked()) { /* what the parent initialised is not the child's: it begins afresh */
        module->C_Finalize(NULL);
        forget();
    }
    CK_RV rv = module->C_Initialize(init_args);
    if (rv == CKR_OK) {
        initialized_by = getpid();
        slot_shift = effects->renumber_slots;
    }
    return rv;
}

CK_RV device_C_Finalize(const Effects *effects, void *reserved)
{
    (void)effects;
    CK_RV rv = module->C_Finalize(reserved);
    if (rv == CKR_OK) {
        initialized_by = 0;
        forget();
    }
    return rv;
}

/* Slots and tokens ----------------------------------------------------------------------------------------------- */

CK_SLOT_ID real_slot(CK_SLOT_ID slot)
{
    return slot - slot_shift;
}

CK_RV device_C_GetSlotList(const Effects *effects, CK_BBOOL token_present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    (void)effects;
    CK_RV rv = module->C_GetSlotList(token_present, slots, count);
    for (CK_ULONG i = 0; rv == CKR_OK && slots && i < *count; i++)
        slots[i] += slot_shift;
    return rv;
}

CK_RV device_C_WaitForSlotEvent(const Effects *effects, CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    (void)effects;
    CK_RV rv = module->C_WaitForSlotEvent(flags, slot, reserved);
    if (rv == CKR_OK)
        *slot += slot_shift;
    return rv;
}

static unsigned long wrong_pins(void)
{
    struct stat file;
    return settings.wrong_pins && stat(settings.wrong_pins, &file) == 0 ? (unsigned long)file.st_size : 0;
}

static CK_FLAGS pin_flags(void)
{
    unsigned long wrong = wrong_pins(), most = settings.max_wrong_pins;
    return (wrong > 0 && wrong < most ? CKF_USER_PIN_COUNT_LOW : 0) | (wrong + 1 == most ? CKF_USER_PIN_FINAL_TRY : 0) |
           (wrong >= most ? CKF_USER_PIN_LOCKED : 0);
}

CK_RV device_C_GetTokenInfo(const Effects *effects, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = module->C_GetTokenInfo(real_slot(slot), info);
    if (rv != CKR_OK)
        return rv;
    info->flags |= effects->token_flags | (settings.wrong_pins ? pin_flags() : 0);
    if (settings.max_sessions)
        info->ulMaxSessionCount = info->ulMaxRwSessionCount = settings.max_sessions;
    return rv;
}

/* Mechanisms ----------------------------------------------------------------------------------------------------- */

bool device_hides(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < settings.hidden_count; i++)
        if (settings.hidden[i] == type)
            return true;
    return false;
}

CK_RV device_C_GetMechanismInfo(const Effects *effects, CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                                CK_MECHANISM_INFO *info)
{
    (void)effects;
    return device_hides(type) ? CKR_MECHANISM_INVALID : module->C_GetMechanismInfo(real_slot(slot), type, info);
}

CK_RV device_C_GetMechanismList(const Effects *effects, CK_SLOT_ID slot, CK_MECHANISM_TYPE *types, CK_ULONG *count)
{
    (void)effects;
    /* A caller that only asks for the length is told the module's: more room than needed, as the standard allows. */
    CK_RV rv = module->C_GetMechanismList(real_slot(slot), types, count);
    if (rv != CKR_OK || !types)
        return rv;
    CK_ULONG shown = 0;
    for (CK_ULONG i = 0; i < *count; i++)
        if (!device_hides(types[i]))
            types[shown++] = types[i];
    *count = shown;
    return rv;
}

CK_RV device_C_EncryptInit(const Effects *effects, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_OBJECT_HANDLE key)
{
    if (mechanism && device_hides(mechanism->mechanism))
        return CKR_MECHANISM_INVALID;
    if (effects->overwrite_iv && mechanism && mechanism->mechanism == CKM_AES_GCM && mechanism->pParameter) {
        const CK_GCM_PARAMS_HEAD *gcm = mechanism->pParameter;
        if (getentropy(gcm->pIv, gcm->ulIvLen) != 0)
            return CKR_DEVICE_ERROR;
    }
    return module->C_EncryptInit(session, mechanism, key);
}

/* Sessions and logins -------------------------------------------------------------------------------------------- */

CK_RV device_C_OpenSession(const Effects *effects, CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                           CK_SESSION_HANDLE *session)
{
    (void)effects;
    CK_RV rv = CKR_SESSION_COUNT;
    pthread_mutex_lock(&sessions.lock); /* held over the call: two threads must not both get the last session */
    if (sessions.count < (settings.max_sessions ? settings.max_sessions : MAX_KEPT) && sessions.count < MAX_KEPT)
        rv = module->C_OpenSession(real_slot(slot), flags, application, notify, session);
    if (rv == CKR_OK) {
        sessions.open[sessions.count].handle = *session;
        sessions.open[sessions.count++].slot = real_slot(slot);
    }
    pthread_mutex_unlock(&sessions.lock);
    return rv;
}

CK_RV device_C_CloseSession(const Effects *effects, CK_SESSION_HANDLE session)
{
    (void)effects;
    pthread_mutex_lock(&sessions.lock);
    CK_RV rv = module->C_CloseSession(session);
    for (size_t i = 0; rv == CKR_OK && i < sessions.count; i++)
        if (sessions.open[i].handle == session)
            sessions.open[i] = sessions.open[--sessions.count];
    pthread_mutex_unlock(&sessions.lock);
    return rv;
}

CK_RV device_C_CloseAllSessions(const Effects *effects, CK_SLOT_ID slot)
{
    (void)effects;
    pthread_mutex_lock(&sessions.lock);
    CK_RV rv = module->C_CloseAllSessions(real_slot(slot));
    size_t kept = 0;
    for (size_t i = 0; rv == CKR_OK && i < sessions.count; i++)
        if (sessions.open[i].slot != real_slot(slot))
            sessions.open[kept++] = sessions.open[i];
    if (rv == CKR_OK)
        sessions.count = kept;
    pthread_mutex_unlock(&sessions.lock);
    return rv;
}

CK_RV device_C_GetSessionInfo(const Effects *effects, CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    (void)effects;
    CK_RV rv = module->C_GetSessionInfo(session, info);
    if (rv == CKR_OK)
        info->slotID += slot_shift;
    return rv;
}

void device_forget_sessions(void)
{
    pthread_mutex_lock(&sessions.lock);
    while (sessions.count > 0)
        module->C_CloseSession(sessions.open[--sessions.count].handle);
    pthread_mutex_unlock(&sessions.lock);
}

/* A login belongs to the token, so one session of it would do; the others are told that nobody is logged in. */
void device_forget_login(void)
{
    pthread_mutex_lock(&sessions.lock);
    for (size_t i = 0; i < sessions.count; i++)
        module->C_Logout(sessions.open[i].handle);
    pthread_mutex_unlock(&sessions.lock);
}

/* One byte more in the file, or none: a token remembers wrong PINs whichever process typed them. */
static bool remember_pin(bool right)
{
    int file = open(settings.wrong_pins, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool done = file >= 0 && (right ? ftruncate(file, 0) == 0 : write(file, "x", 1) == 1);
    if (file >= 0)
        close(file);
    return done;
}

CK_RV device_C_Login(const Effects *effects, CK_SESSION_HANDLE session, CK_USER_TYPE user_type, CK_BYTE *pin,
                     CK_ULONG pin_len)
{
    (void)effects;
    bool counted = settings.wrong_pins && user_type == CKU_USER;
    if (counted && wrong_pins() >= settings.max_wrong_pins)
        return CKR_PIN_LOCKED;
    CK_RV rv = module->C_Login(session, user_type, pin, pin_len);
    if (counted && (rv == CKR_OK || rv == CKR_PIN_INCORRECT) && !remember_pin(rv == CKR_OK))
        return CKR_DEVICE_ERROR;
    return rv;
}
