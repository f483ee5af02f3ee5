/* A small training run, cut into the phases in which things are made to fail. */
#ifndef SSA_TEST_FAULTS_TRAINING_H
#define SSA_TEST_FAULTS_TRAINING_H

#include "ssacl/checkpoint.h"
#include "ssacl/evaluate.h"

enum { TRAINING_STEPS = 4 };

/* A step is a phase. The third samples otherwise: kernels are built in the middle of a run. The last phase reads all there
 * is, evaluates, and writes a checkpoint. */
enum training_phase { CREATE, FIRST_STEP, SECOND_STEP, MIDDLE_STEP, LAST_STEP, FINISH, PHASES };
extern const char *const training_phases[PHASES];

struct training {
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    int resumed; /* steps done before, whose losses are not kept */
    float losses[TRAINING_STEPS]; /* of each step */
    double score;                 /* of the weights' average, evaluated after the last step */
    float *parameters;            /* likewise */
    size_t parameter_count;
};

/* The phase; a status. Micro-batches of two sequences, `batch` in a step. CREATE makes a model on `device`, unless the
 * caller has made one by training_model(). */
int training_do(struct training *t, enum training_phase phase, struct ssa_device *device, int batch);
void training_model(struct ssa_model_config *config, struct ssa_model_limits *limits);
/* Destroys the trainer and the model; the results stay. */
void training_end(struct training *t);
/* These too: `t` is as new. */
void training_forget(struct training *t);
/* The same bits of every loss and every parameter. */
int training_same(const struct training *a, const struct training *b);

#endif
