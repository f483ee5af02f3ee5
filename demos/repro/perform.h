/* One run: trained, measured, its result written. What it needs meanwhile lies in the folder of work; a run that was
 * stopped or killed goes on there from its last checkpoint. */
#ifndef REPRO_PERFORM_H
#define REPRO_PERFORM_H

#include "session.h"

enum performed { PERFORM_DONE, PERFORM_FAILED, PERFORM_STOPPED }; /* failed: why is said */

/* `share` is called with how much of it is done, 0..1. */
enum performed perform(const struct session *session, const struct run_key *key,
                       void (*share)(void *cookie, double done), void *cookie);

#endif
