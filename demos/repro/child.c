#include "child.h"

#include "progress.h"
#include "say.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* ---- words ---- */

static void add(struct child *c, const char *word, size_t length)
{
    if (c->count == CHILD_WORDS || c->used + length + 1 > sizeof c->texts) {
        c->full = true;
        return;
    }
    char *copy = c->texts + c->used;
    memcpy(copy, word, length);
    copy[length] = '\0';
    c->used += (unsigned)length + 1;
    c->words[c->count++] = copy;
}

void child_add(struct child *child, const char *word)
{
    add(child, word, strlen(word));
}

void child_add_all(struct child *child, const char *words)
{
    for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
        const size_t length = strcspn(words, " ");
        add(child, words, length);
        words += length;
    }
}

/* ---- running ---- */

/* In the child. A group of its own: a Ctrl-C at the terminal comes once, by us. */
static void become(const struct child *c, int out, int err)
{
    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* who would go on with it if we were killed? */
#endif
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    execv(c->words[0], (char *const *)(void *)c->words);
    dprintf(STDERR_FILENO, "%s: %s\n", c->words[0], strerror(errno));
    _exit(127);
}

static pid_t start(const struct child *c, int out, int err)
{
    if (c->full) {
        say_error("%s: too many words on its command line", c->words[0]);
        return -1;
    }
    const pid_t pid = fork();
    if (!pid)
        become(c, out, err);
    if (pid < 0)
        say_error("%s could not be started: %s", c->words[0], strerror(errno));
    return pid;
}

static int status_of(int state)
{
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

/* -1: it goes on. */
static int wait_for(pid_t pid, bool now)
{
    int state;
    for (;;) {
        const pid_t ended = waitpid(pid, &state, now ? WNOHANG : 0);
        if (ended == pid)
            return status_of(state);
        if (ended == 0)
            return -1;
        if (errno != EINTR)
            return 127;
    }
}

int child_run(const struct child *child, const char *output, double deadline, void (*look)(void *cookie), void *cookie)
{
    const int file = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0)
        return say_error("%s: %s", output, strerror(errno)), -1;
    const pid_t pid = start(child, file, file);
    close(file);
    bool asked = false;
    int status = -1;
    while (pid > 0 && (status = wait_for(pid, true)) < 0) {
        if (!asked && (interrupted || (deadline > 0 && now_seconds() > deadline)))
            asked = !kill(pid, SIGTERM);
        if (look)
            look(cookie);
        nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
    }
    return status;
}

char *child_read(const struct child *child)
{
    int ends[2];
    char *text = NULL;
    size_t size = 0, room = 0;
    ssize_t got = 1;
    if (pipe(ends))
        return say_error("no pipe: %s", strerror(errno)), NULL;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    const pid_t pid = start(child, ends[1], STDERR_FILENO);
    close(ends[1]);
    while (pid > 0 && got > 0) {
        if (size + 4096 > room) {
            char *more = realloc(text, room = 2 * room + 8192);
            if (!more)
                break;
            text = more;
        }
        got = read(ends[0], text + size, room - size - 1);
        size += got > 0 ? (size_t)got : 0;
        got = got < 0 && errno == EINTR ? 1 : got;
    }
    close(ends[0]);
    if (pid > 0 && !wait_for(pid, false) && text) {
        text[size] = '\0';
        return text;
    }
    free(text);
    say_error("%s %s failed", child->words[0], child->count > 1 ? child->words[1] : "");
    return NULL;
}
