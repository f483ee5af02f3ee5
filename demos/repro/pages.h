/* The pages: what was claimed, and what was measured of it, of all results that there are: RESULTS/README.md, with
 * pictures in RESULTS/figures, and RESULTS/index.html, whole in itself. */
#ifndef REPRO_PAGES_H
#define REPRO_PAGES_H

#include "session.h"

int pages_write(const struct session *session, const struct table *table);

#endif
