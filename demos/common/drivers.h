/* Settings that OpenCL drivers read from the environment. A library may not touch that; a program may. */
#ifndef DEMO_DRIVERS_H
#define DEMO_DRIVERS_H

/* Call it in main(), before any device is asked for. What the user has set stays. */
void prepare_drivers(void);

#endif
