/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints how many instructions pairs take, as one JSON object. */
#include "settings.h"

#include <stdio.h>

int main(void) {
    for (size_t i = 0; i < sizeof steps_cases / sizeof steps_cases[0]; i++) {
        struct steps steps;
        const char *fault = steps_count(&steps, &steps_cases[i]);
        if (fault != NULL) {
            printf("%s\"fault\": \"%s\"}\n", i == 0 ? "{" : ", ", fault);
            return 0;
        }
        printf("%s\"%s\": {\"allocate\": %.0f, \"release\": %.0f, \"mean\": %.1f}", i == 0 ? "{" : ", ",
               steps_cases[i].name, steps.allocate, steps.release, steps.mean);
    }
    printf("}\n");
    return 0;
}
