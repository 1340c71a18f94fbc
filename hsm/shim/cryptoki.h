/* What the shim needs to know of PKCS #11 v2.40 (OASIS Standard), declared anew.
 *
 * The shim looks into few arguments and hands the rest on untouched, so most structures stay incomplete here. Names,
 * order and values are those of the standard; a test compares them with the header of p11-kit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef CRYPTOKI_H
#define CRYPTOKI_H

typedef unsigned char CK_BYTE;
typedef unsigned char CK_BBOOL;
typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV, CK_FLAGS, CK_SLOT_ID, CK_USER_TYPE;
typedef CK_ULONG CK_SESSION_HANDLE, CK_OBJECT_HANDLE, CK_MECHANISM_TYPE;

typedef struct CK_INFO CK_INFO;
typedef struct CK_SLOT_INFO CK_SLOT_INFO;
typedef struct CK_MECHANISM_INFO CK_MECHANISM_INFO;
typedef struct CK_ATTRIBUTE CK_ATTRIBUTE;
typedef struct CK_FUNCTION_LIST CK_FUNCTION_LIST;
typedef CK_RV (*CK_NOTIFY)(CK_SESSION_HANDLE session, CK_ULONG event, void *application);

typedef struct {
    CK_BYTE major;
    CK_BYTE minor;
} CK_VERSION;

typedef struct {
    CK_BYTE label[32];
    CK_BYTE manufacturerID[32];
    CK_BYTE model[16];
    CK_BYTE serialNumber[16];
    CK_FLAGS flags;
    CK_ULONG ulMaxSessionCount;
    CK_ULONG ulSessionCount;
    CK_ULONG ulMaxRwSessionCount;
    CK_ULONG ulRwSessionCount;
    CK_ULONG ulMaxPinLen;
    CK_ULONG ulMinPinLen;
    CK_ULONG ulTotalPublicMemory;
    CK_ULONG ulFreePublicMemory;
    CK_ULONG ulTotalPrivateMemory;
    CK_ULONG ulFreePrivateMemory;
    CK_VERSION hardwareVersion;
    CK_VERSION firmwareVersion;
    CK_BYTE utcTime[16];
} CK_TOKEN_INFO;

typedef struct {
    CK_SLOT_ID slotID;
    CK_ULONG state;
    CK_FLAGS flags;
    CK_ULONG ulDeviceError;
} CK_SESSION_INFO;

typedef struct {
    CK_MECHANISM_TYPE mechanism;
    void *pParameter;
    CK_ULONG ulParameterLen;
} CK_MECHANISM;

/* The head of CK_GCM_PARAMS, the same in every edition of the standard; what follows it differs between them. */
typedef struct {
    CK_BYTE *pIv;
    CK_ULONG ulIvLen;
} CK_GCM_PARAMS_HEAD;

#define CKU_USER 1UL
#define CKM_AES_GCM 0x1087UL
#define CKF_USER_PIN_COUNT_LOW 0x00010000UL
#define CKF_USER_PIN_FINAL_TRY 0x00020000UL
#define CKF_USER_PIN_LOCKED 0x00040000UL

enum {
#define RESULT(name, value) name = value,
#include "results.h"
#undef RESULT
};

/* One number for each function; the order is that of CK_FUNCTION_LIST. */
typedef enum {
#define FUNCTION(kind, name, parameters, arguments) F_##name,
#include "functions.h"
#undef FUNCTION
    FUNCTION_COUNT
} Function;

struct CK_FUNCTION_LIST {
    CK_VERSION version;
#define FUNCTION(kind, name, parameters, arguments) CK_RV(*name) parameters;
#include "functions.h"
#undef FUNCTION
};

#endif
