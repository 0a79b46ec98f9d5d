/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A plugin that contains the static library, linked as anybody would link it: trap_unload loads and unloads it. */
#include <slabby/slabby.h>

const char *plugin_version(void);

const char *plugin_version(void) {
    return slabby_version();
}
