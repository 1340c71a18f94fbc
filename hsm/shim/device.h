/* The device that the shim pretends to have: session limits, hidden mechanisms, slot numbers, wrong PINs, forks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "script.h"

/* The functions of the real module. */
extern const CK_FUNCTION_LIST *module;

/* Reads the settings in the environment. False, with a line on stderr, when one is not understood. */
bool device_configure(void);

/* CKR_CRYPTOKI_NOT_INITIALIZED in a forked child that has not called C_Initialize, when such children are refused. */
CK_RV device_refuses(Function function);

void device_forget_sessions(void);
void device_forget_login(void);
bool device_hides(CK_MECHANISM_TYPE type);

/* The module's number of a slot that the caller knows by another. */
CK_SLOT_ID real_slot(CK_SLOT_ID slot);

/* Functions of the kind OWN: they do their part and call the module. */
#define WITHOUT_PARENTHESES(...) __VA_ARGS__
#define FUNCTION(kind, name, parameters, arguments) DECLARE_##kind(name, parameters)
#define DECLARE_PLAIN(name, parameters)
#define DECLARE_SLOT(name, parameters)
#define DECLARE_MECHANISM(name, parameters)
#define DECLARE_LIST(name, parameters)
#define DECLARE_OWN(name, parameters) CK_RV device_##name(const Effects *effects, WITHOUT_PARENTHESES parameters);
#include "functions.h"
#undef FUNCTION

#endif
