/* The PKCS #11 calls that keysvc's unsealing of one version makes, in a loop, and nothing else: the floor of unseal.py.
 *
 *     unseal MODULE TOKEN PIN KEY OBJECT COUNT      prints how many a second of its own time
 *
 * What it decrypts it encrypted itself, under the same key, with as much associated data as a version has.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#define CHECK(call)                                                        \
    do {                                                                   \
        CK_RV rv = (call);                                                 \
        if (rv != CKR_OK) {                                                \
            fprintf(stderr, "%s: 0x%lx\n", #call, rv);                     \
            exit(1);                                                       \
        }                                                                  \
    } while (0)

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;

static CK_SLOT_ID find_slot(const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CHECK(p11->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        CHECK(p11->C_GetTokenInfo(slots[i], &info));
        if (strncmp((char *)info.label, label, strlen(label)) == 0)
            return slots[i];
    }
    fprintf(stderr, "no such token\n");
    exit(1);
}

/* What kind of object it is: asked for at once, then again for what a data object has. */
static void kind(CK_OBJECT_HANDLE object)
{
    CK_OBJECT_CLASS class;
    CK_ATTRIBUTE all[] = {{CKA_CLASS, NULL, 0},  {CKA_ENCRYPT, NULL, 0}, {CKA_DECRYPT, NULL, 0}, {CKA_SIGN, NULL, 0},
                          {CKA_VERIFY, NULL, 0}, {CKA_WRAP, NULL, 0},    {CKA_UNWRAP, NULL, 0},  {CKA_DERIVE, NULL, 0},
                          {0x633, NULL, 0},      {0x634, NULL, 0}}; /* CKA_ENCAPSULATE, CKA_DECAPSULATE: of version 3.2 */
    CK_ATTRIBUTE has = {CKA_CLASS, &class, sizeof class};
    if (p11->C_GetAttributeValue(session, object, all, sizeof all / sizeof all[0]) != CKR_ATTRIBUTE_TYPE_INVALID)
        exit(1);
    CHECK(p11->C_GetAttributeValue(session, object, &has, 1));
}

/* One object by its attributes. It is looked at before the search goes on, as python-pkcs11 does it. */
static CK_OBJECT_HANDLE find(CK_ATTRIBUTE *template, CK_ULONG attributes)
{
    CK_OBJECT_HANDLE found[10], none[10];
    CK_ULONG count, rest;
    CHECK(p11->C_FindObjectsInit(session, template, attributes));
    CHECK(p11->C_FindObjects(session, found, 10, &count));
    if (count == 1)
        kind(found[0]);
    CHECK(p11->C_FindObjects(session, none, 10, &rest));
    CHECK(p11->C_FindObjectsFinal(session));
    if (count != 1) {
        fprintf(stderr, "not one such object\n");
        exit(1);
    }
    return found[0];
}

/* Its length, then the attribute, as every binding asks. */
static CK_ULONG get(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *value, CK_ULONG room)
{
    CK_ATTRIBUTE wanted = {type, NULL, 0};
    CHECK(p11->C_GetAttributeValue(session, object, &wanted, 1));
    if (wanted.ulValueLen > room)
        exit(1);
    wanted.pValue = value;
    CHECK(p11->C_GetAttributeValue(session, object, &wanted, 1));
    return wanted.ulValueLen;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    CK_C_GetFunctionList list = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
    if (!list)
        return 2;
    CHECK(list(&p11));
    CHECK(p11->C_Initialize(NULL));
    CHECK(p11->C_OpenSession(find_slot(argv[2]), CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    CHECK(p11->C_Login(session, CKU_USER, (CK_BYTE *)argv[3], strlen(argv[3])));

    CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY, data = CKO_DATA;
    CK_ATTRIBUTE kek[] = {{CKA_CLASS, &secret_key, sizeof secret_key}, {CKA_LABEL, argv[4], strlen(argv[4])}};
    CK_ATTRIBUTE version[] = {{CKA_CLASS, &data, sizeof data},
                              {CKA_APPLICATION, "keysvc", strlen("keysvc")},
                              {CKA_LABEL, argv[5], strlen(argv[5])}};
    CK_OBJECT_HANDLE key = find(kek, 2);
    CK_BYTE iv[12] = {1}, context[250] = {2}, secret[32] = {3}, sealed[64], opened[64], entry[1024];
    CK_GCM_PARAMS gcm = {iv, sizeof iv, sizeof iv * 8, context, sizeof context, 128};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof gcm};
    CK_ULONG sealed_length = sizeof sealed;
    CHECK(p11->C_EncryptInit(session, &mechanism, key));
    CHECK(p11->C_Encrypt(session, secret, sizeof secret, sealed, &sealed_length));

    long count = atol(argv[6]);
    struct timespec begin, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (long i = 0; i < count; i++) {
        CK_OBJECT_HANDLE object = find(version, 3);
        CK_ULONG length = 0;
        get(object, CKA_VALUE, entry, sizeof entry);
        CHECK(p11->C_DecryptInit(session, &mechanism, key));
        CHECK(p11->C_Decrypt(session, sealed, sealed_length, NULL, &length));
        length = sizeof opened;
        CHECK(p11->C_Decrypt(session, sealed, sealed_length, opened, &length));
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    printf("%f\n", (double)count / ((double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9));
    return 0;
}
