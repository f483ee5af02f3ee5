#include "session.h"

#include "commit.h"
#include "processor.h"
#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static void add_path(struct child *child, const char *folder, const char *inner, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", folder, inner, name);
    child_add(child, path);
}

/* Where it is found: a program's words begin with a path. */
static void add_launcher(const char *launch, struct child *child)
{
    launch += strspn(launch, " ");
    const size_t first = strcspn(launch, " ");
    char word[512];
    snprintf(word, sizeof word, "%.*s", (int)first, launch);
    if (!strchr(word, '/')) {
        child_add(child, "/usr/bin/env");
        child_add(child, word);
    } else {
        child_add(child, word);
    }
    child_add_all(child, launch + first);
}

void session_program(const struct session *s, const struct task *task, const char *verb, bool launched,
                     struct child *child)
{
    const char *inner = strchr(task->program, '-');
    *child = (struct child){.count = 0};
    if (launched && s->launch)
        add_launcher(s->launch, child);
    add_path(child, s->programs, inner ? inner + 1 : task->program, task->program);
    child_add(child, verb);
}

void session_data(const struct session *s, const struct task *task, struct child *child)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", s->data, task->data);
    child_add(child, "--data");
    child_add(child, path);
    if (s->device) {
        child_add(child, "--device");
        child_add(child, s->device);
    }
}

/* ---- facts ---- */

const char *session_machine(void)
{
    static char text[256];
    char processor[128];
    struct utsname u;
    if (!*text) {
        processor_name(processor, sizeof processor);
        snprintf(text, sizeof text, "%s, %ld processors, %.32s %.32s", processor, sysconf(_SC_NPROCESSORS_ONLN),
                 uname(&u) ? "unknown" : u.sysname, uname(&u) ? "" : u.machine);
    }
    return text;
}

const char *session_commit(void)
{
    return REPRO_COMMIT;
}

/* ---- folders ---- */

int make_folders(const char *path)
{
    char part[1024];
    for (size_t i = 1; path[i] && i < sizeof part; i++)
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (mkdir(part, 0777) && errno != EEXIST)
                return say_error("%s: cannot be made: %s", part, strerror(errno));
        }
    return 0;
}
