/* The all-reduce of the ranks that a launcher started, measured. */
#ifndef SCALE_MEASURE_H
#define SCALE_MEASURE_H

/* Rank 0 prints. Returns an exit status. */
int scale_measure(int json);

#endif
