#include "adopt.h"

#include "signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int adopt_file(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path, adopt_import import,
               const void *options)
{
    const char *folder = getenv("TMPDIR");
    char made[4096], file[4096 + 16];
    int status;
    folder = folder && *folder ? folder : "/tmp";
    signals_hold();
    if (snprintf(made, sizeof made, "%s/%s.XXXXXX", folder, p->name) >= (int)sizeof made || !mkdtemp(made)) {
        signals_release();
        return say_error("%s: becomes a checkpoint in a folder of $TMPDIR, which cannot be made", path);
    }
    snprintf(file, sizeof file, "%s/weights", made);
    status = import(path, file, folder, options);
    if (!status && ssa_checkpoint_open(checkpoint, file) != SSA_OK)
        status = library_failed();
    unlink(file);
    rmdir(made);
    signals_release();
    return status;
}
