/* A process of its own for whatever calls a driver. */
#include "doctor.h"

#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ANSWER = 1 << 20 };

static pid_t start(const char *mode, const char *argument, int *from)
{
    int ends[2];
    if (pipe(ends))
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY); /* drivers talk on stderr, and some on stdout */
        fcntl(ends[1], F_SETFD, 0);
        if (nowhere >= 0 && !getenv("SSACL_DOCTOR_VERBOSE")) {
            dup2(nowhere, STDERR_FILENO);
            dup2(nowhere, STDOUT_FILENO);
        }
        char fd[16];
        snprintf(fd, sizeof fd, "%d", ends[1]);
        setenv("SSACL_DOCTOR_ANSWER", fd, 1);
        execl("/proc/self/exe", "ssacl-doctor", mode, argument, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *from = ends[0];
    if (pid < 0)
        close(ends[0]);
    return pid;
}

/* False where so many seconds ran out. They pass a second a look at most: while we were stopped (Ctrl-Z), so was the
 * child. */
static bool read_answer(int from, double left, char *text)
{
    size_t used = 0;
    double latest = now_seconds();
    for (;;) {
        struct pollfd p = {.fd = from, .events = POLLIN};
        int ready = poll(&p, 1, 500);
        double now = now_seconds();
        left -= now - latest < 1 ? now - latest : 1;
        latest = now;
        if (ready == 0 && left <= 0)
            return false;
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        if (ready < 0)
            return false;
        ssize_t n = read(from, text + used, MAX_ANSWER - 1 - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    text[used] = 0;
    return true;
}

json_t *ask_child(const char *mode, const char *argument, int seconds, char *why, size_t why_size)
{
    char *text = malloc(MAX_ANSWER);
    int from, status = 0;
    pid_t pid = text ? start(mode, argument, &from) : -1;
    json_t *answer = NULL;
    if (pid < 0) {
        snprintf(why, why_size, "no process could be started");
        free(text);
        return NULL;
    }
    bool in_time = read_answer(from, seconds, text);
    close(from);
    if (!in_time)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!in_time)
        snprintf(why, why_size, "hangs: no answer in %d s", seconds);
    else if (WIFSIGNALED(status))
        snprintf(why, why_size, "crashes (%s)", strsignal(WTERMSIG(status)));
    else if (!(answer = json_loads(text, 0, NULL)))
        snprintf(why, why_size, "ends the process (exit status %d)", WEXITSTATUS(status));
    free(text);
    return answer;
}

int child_main(const char *mode, const char *argument)
{
    const char *fd = getenv("SSACL_DOCTOR_ANSWER");
    json_t *answer;
    if (!fd)
        return -1;
    if (!strcmp(mode, "--probe-icd"))
        answer = probe_icd(argument);
    else if (!strcmp(mode, "--probe-platforms"))
        answer = probe_platforms();
    else if (!strcmp(mode, "--probe-device"))
        answer = probe_device(strchr(argument, ' ') + 1, atoi(argument));
    else
        return -1;
    FILE *to = fdopen(atoi(fd), "w");
    int bad = !to || !answer || json_dumpf(answer, to, JSON_COMPACT);
    bad |= !to || fclose(to);
    _exit(bad); /* drivers crash on their way out, too */
}
