/* threads MODULE: calls C_GenerateRandom 16,000 times from eight threads at once, and prints how many of the calls
 * answered CKR_DEVICE_ERROR, how many CKR_DEVICE_MEMORY, and how many something else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cryptoki.h"

enum { THREADS = 8, CALLS = 2000 };

typedef struct {
    int error, memory, other;
} Counts;

static CK_FUNCTION_LIST *list;

static void *work(void *argument)
{
    Counts *counts = argument;
    CK_BYTE random[16];
    for (int i = 0; i < CALLS; i++) {
        CK_RV rv = list->C_GenerateRandom(0, random, sizeof random);
        *(rv == CKR_DEVICE_ERROR ? &counts->error : rv == CKR_DEVICE_MEMORY ? &counts->memory : &counts->other) += 1;
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS];
    Counts counts[THREADS] = {0}, sum = {0};
    CK_RV (*get_list)(CK_FUNCTION_LIST **);
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    memcpy(&get_list, &symbol, sizeof get_list);
    if (!symbol || get_list(&list) != CKR_OK)
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, &counts[i]) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum.error += counts[i].error;
        sum.memory += counts[i].memory;
        sum.other += counts[i].other;
    }
    printf("%d %d %d\n", sum.error, sum.memory, sum.other);
    return 0;
}
