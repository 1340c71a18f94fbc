/* FUNCTION(kind, name, parameters, arguments): the functions of PKCS #11 v2.40, in the order of CK_FUNCTION_LIST.
 *
 * The kind says what the shim does with the arguments on the way to the module:
 *   PLAIN      nothing
 *   SLOT       undoes the renumbering of slots
 *   MECHANISM  refuses a hidden mechanism
 *   OWN        something of its own, in device.c
 *   LIST       it is the shim's own function, the one that is exported
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define SESSION CK_SESSION_HANDLE session
#define IN CK_BYTE *in, CK_ULONG in_len
#define OUT CK_BYTE *out, CK_ULONG *out_len
#define PIN CK_BYTE *pin, CK_ULONG pin_len
#define KEY CK_OBJECT_HANDLE key
#define OBJECT CK_OBJECT_HANDLE object
#define TEMPLATE CK_ATTRIBUTE *attributes, CK_ULONG count
#define BY_MECHANISM CK_MECHANISM *mechanism

FUNCTION(OWN, C_Initialize, (void *init_args), (init_args))
FUNCTION(OWN, C_Finalize, (void *reserved), (reserved))
FUNCTION(PLAIN, C_GetInfo, (CK_INFO *info), (info))
FUNCTION(LIST, C_GetFunctionList, (CK_FUNCTION_LIST **list), (list))
FUNCTION(OWN, C_GetSlotList, (CK_BBOOL token_present, CK_SLOT_ID *slots, CK_ULONG *count),
         (token_present, slots, count))
FUNCTION(SLOT, C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (slot, info))
FUNCTION(OWN, C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))
FUNCTION(OWN, C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *types, CK_ULONG *count), (slot, types, count))
FUNCTION(OWN, C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),
         (slot, type, info))
FUNCTION(SLOT, C_InitToken, (CK_SLOT_ID slot, PIN, CK_BYTE *label), (slot, pin, pin_len, label))
FUNCTION(PLAIN, C_InitPIN, (SESSION, PIN), (session, pin, pin_len))
FUNCTION(PLAIN, C_SetPIN, (SESSION, PIN, CK_BYTE *new_pin, CK_ULONG new_len), (session, pin, pin_len, new_pin, new_len))
FUNCTION(OWN, C_OpenSession,
         (CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session),
         (slot, flags, application, notify, session))
FUNCTION(OWN, C_CloseSession, (SESSION), (session))
FUNCTION(OWN, C_CloseAllSessions, (CK_SLOT_ID slot), (slot))
FUNCTION(OWN, C_GetSessionInfo, (SESSION, CK_SESSION_INFO *info), (session, info))
FUNCTION(PLAIN, C_GetOperationState, (SESSION, OUT), (session, out, out_len))
FUNCTION(PLAIN, C_SetOperationState,
         (SESSION, IN, CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key),
         (session, in, in_len, encryption_key, authentication_key))
FUNCTION(OWN, C_Login, (SESSION, CK_USER_TYPE user_type, PIN), (session, user_type, pin, pin_len))
FUNCTION(PLAIN, C_Logout, (SESSION), (session))
FUNCTION(PLAIN, C_CreateObject, (SESSION, TEMPLATE, CK_OBJECT_HANDLE *object), (session, attributes, count, object))
FUNCTION(PLAIN, C_CopyObject, (SESSION, OBJECT, TEMPLATE, CK_OBJECT_HANDLE *copy),
         (session, object, attributes, count, copy))
FUNCTION(PLAIN, C_DestroyObject, (SESSION, OBJECT), (session, object))
FUNCTION(PLAIN, C_GetObjectSize, (SESSION, OBJECT, CK_ULONG *size), (session, object, size))
FUNCTION(PLAIN, C_GetAttributeValue, (SESSION, OBJECT, TEMPLATE), (session, object, attributes, count))
FUNCTION(PLAIN, C_SetAttributeValue, (SESSION, OBJECT, TEMPLATE), (session, object, attributes, count))
FUNCTION(PLAIN, C_FindObjectsInit, (SESSION, TEMPLATE), (session, attributes, count))
FUNCTION(PLAIN, C_FindObjects, (SESSION, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *found),
         (session, objects, max, found))
FUNCTION(PLAIN, C_FindObjectsFinal, (SESSION), (session))
FUNCTION(OWN, C_EncryptInit, (SESSION, BY_MECHANISM, KEY), (session, mechanism, key))
FUNCTION(PLAIN, C_Encrypt, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_EncryptUpdate, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_EncryptFinal, (SESSION, OUT), (session, out, out_len))
FUNCTION(MECHANISM, C_DecryptInit, (SESSION, BY_MECHANISM, KEY), (session, mechanism, key))
FUNCTION(PLAIN, C_Decrypt, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_DecryptUpdate, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_DecryptFinal, (SESSION, OUT), (session, out, out_len))
FUNCTION(MECHANISM, C_DigestInit, (SESSION, BY_MECHANISM), (session, mechanism))
FUNCTION(PLAIN, C_Digest, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_DigestUpdate, (SESSION, IN), (session, in, in_len))
FUNCTION(PLAIN, C_DigestKey, (SESSION, KEY), (session, key))
FUNCTION(PLAIN, C_DigestFinal, (SESSION, OUT), (session, out, out_len))
FUNCTION(MECHANISM, C_SignInit, (SESSION, BY_MECHANISM, KEY), (session, mechanism, key))
FUNCTION(PLAIN, C_Sign, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_SignUpdate, (SESSION, IN), (session, in, in_len))
FUNCTION(PLAIN, C_SignFinal, (SESSION, OUT), (session, out, out_len))
FUNCTION(MECHANISM, C_SignRecoverInit, (SESSION, BY_MECHANISM, KEY), (session, mechanism, key))
FUNCTION(PLAIN, C_SignRecover, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(MECHANISM, C_VerifyInit, (SESSION, BY_MECHANISM, KEY), (session, mechanism, key))
FUNCTION(PLAIN, C_Verify, (SESSION, IN, CK_BYTE *signature, CK_ULONG signature_len),
         (session, in, in_len, signature, signature_len))
FUNCTION(PLAIN, C_VerifyUpdate, (SESSION, IN), (session, in, in_len))
FUNCTION(PLAIN, C_VerifyFinal, (SESSION, IN), (session, in, in_len))
FUNCTION(MECHANISM, C_VerifyRecoverInit, (SESSION, BY_MECHANISM, KEY), (session, mechanism, key))
FUNCTION(PLAIN, C_VerifyRecover, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_DigestEncryptUpdate, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_DecryptDigestUpdate, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_SignEncryptUpdate, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(PLAIN, C_DecryptVerifyUpdate, (SESSION, IN, OUT), (session, in, in_len, out, out_len))
FUNCTION(MECHANISM, C_GenerateKey, (SESSION, BY_MECHANISM, TEMPLATE, CK_OBJECT_HANDLE *key),
         (session, mechanism, attributes, count, key))
FUNCTION(MECHANISM, C_GenerateKeyPair,
         (SESSION, BY_MECHANISM, CK_ATTRIBUTE *public, CK_ULONG public_count, CK_ATTRIBUTE *private,
          CK_ULONG private_count, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),
         (session, mechanism, public, public_count, private, private_count, public_key, private_key))
FUNCTION(MECHANISM, C_WrapKey, (SESSION, BY_MECHANISM, CK_OBJECT_HANDLE wrapping_key, KEY, OUT),
         (session, mechanism, wrapping_key, key, out, out_len))
FUNCTION(MECHANISM, C_UnwrapKey,
         (SESSION, BY_MECHANISM, CK_OBJECT_HANDLE unwrapping_key, IN, TEMPLATE, CK_OBJECT_HANDLE *key),
         (session, mechanism, unwrapping_key, in, in_len, attributes, count, key))
FUNCTION(MECHANISM, C_DeriveKey, (SESSION, BY_MECHANISM, CK_OBJECT_HANDLE base_key, TEMPLATE, CK_OBJECT_HANDLE *key),
         (session, mechanism, base_key, attributes, count, key))
FUNCTION(PLAIN, C_SeedRandom, (SESSION, IN), (session, in, in_len))
FUNCTION(PLAIN, C_GenerateRandom, (SESSION, CK_BYTE *random, CK_ULONG random_len), (session, random, random_len))
FUNCTION(PLAIN, C_GetFunctionStatus, (SESSION), (session))
FUNCTION(PLAIN, C_CancelFunction, (SESSION), (session))
FUNCTION(OWN, C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved), (flags, slot, reserved))

#undef SESSION
#undef IN
#undef OUT
#undef PIN
#undef KEY
#undef OBJECT
#undef TEMPLATE
#undef BY_MECHANISM
