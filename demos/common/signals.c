#include "signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

volatile int interrupted;

static struct {
    int number;
    bool insists; /* the second one ends the program at once */
    bool caught;
} table[] = {{.number = SIGINT, .insists = true}, {.number = SIGTERM, .insists = true},
             {.number = SIGQUIT, .insists = true}, {.number = SIGHUP}, {.number = SIGXCPU}, {.number = SIGUSR1},
             {.number = SIGUSR2}};
enum { SIGNALS = sizeof table / sizeof *table };

static void on_signal(int number)
{
    interrupted = number;
}

static void on_first(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    interrupted = number;
    for (int i = 0; i < SIGNALS; i++)
        if (table[i].insists && table[i].caught)
            sigaction(table[i].number, &action, NULL);
}

static void catch(bool insisting)
{
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_flags = SA_RESTART}, old;
        action.sa_handler = insisting && table[i].insists ? on_first : on_signal;
        if (sigaction(table[i].number, NULL, &old) || old.sa_handler == SIG_IGN)
            continue;
        table[i].caught = true;
        sigaction(table[i].number, &action, NULL);
    }
}

void signals_catch(void)
{
    catch(true);
}

void signals_catch_launched(void)
{
    catch(false);
}

static void (*tidy)(void);

static void on_last(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    tidy();
    sigaction(number, &action, NULL);
    raise(number); /* which waits until this returns */
}

void signals_tidy(void (*last)(void))
{
    tidy = last;
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_handler = on_last}, old;
        if (!sigaction(table[i].number, NULL, &old) && old.sa_handler == SIG_DFL)
            sigaction(table[i].number, &action, NULL);
    }
}

static sigset_t before;

void signals_hold(void)
{
    sigset_t held;
    sigemptyset(&held);
    for (int i = 0; i < SIGNALS; i++)
        sigaddset(&held, table[i].number);
    pthread_sigmask(SIG_BLOCK, &held, &before);
}

void signals_release(void)
{
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void signals_survive_writes(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}
