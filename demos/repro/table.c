#include "table.h"

#include "say.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS = 9 };
static const char *const kinds[] = {[ARM_DENSE] = "dense", [ARM_CONTROL] = "control", [ARM_SSA] = "ssa"};

/* ---- reading ---- */

static int take_text(const json_t *object, const char *key, const char *missing, const char **text)
{
    const json_t *value = json_object_get(object, key);
    *text = value ? json_string_value(value) : missing;
    return *text ? 0 : say_error("experiments: '%s' must be a text%s", key, value ? "" : ", and is missing");
}

static int take_whole(const json_t *object, const char *key, int otherwise, int least, int most, int *whole)
{
    const json_t *value = json_object_get(object, key);
    const json_int_t number = !value ? otherwise : json_is_integer(value) ? json_integer_value(value) : -1;
    *whole = (int)number;
    return number >= least && number <= most
        ? 0 : say_error("experiments: '%s' must be a whole number from %d to %d", key, least, most);
}

static int take_kind(const json_t *object, enum arm_kind *kind)
{
    const char *text;
    if (take_text(object, "kind", NULL, &text))
        return EXIT_FAILED;
    for (int k = 0; k < 3; k++)
        if (!strcmp(text, kinds[k])) {
            *kind = (enum arm_kind)k;
            return 0;
        }
    return say_error("experiments: kind '%s' is not dense, control or ssa", text);
}

/* Letters that are good in names of files. */
static int check_name(const char *name)
{
    const size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return *name && !name[good] && good < 64 ? 0 : say_error("experiments: '%s' is no name: give a-z, 0-9 and -", name);
}

static bool has_sampling(const char *stages)
{
    return strstr(stages, "unbiased") || strstr(stages, "local");
}

/* A word that is none of these would be left out without a word, and another experiment run. */
static int check_keys(json_t *object, const char *what, const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, key))
            k++;
        if (!*k)
            return say_error("experiments: %s has a '%s', which nobody knows", what, key);
    }
    return 0;
}

static int read_arm(struct arm *arm, json_t *object, int seeds, int passes)
{
    static const char *const keys[] = {"name", "about", "options", "of", "kind", "stages", "seeds", "passes", "turn",
                                       NULL};
    int status = check_keys(object, "an arm", keys) ||
                 take_text(object, "name", NULL, &arm->name) || check_name(arm->name) ||
                 take_text(object, "about", "", &arm->about) || take_text(object, "options", "", &arm->options) ||
                 take_text(object, "of", "", &arm->of) || take_kind(object, &arm->kind) ||
                 take_text(object, "stages", *arm->of ? "" : NULL, &arm->stages) ||
                 take_whole(object, "seeds", seeds, 0, SEEDS_MOST, &arm->seeds) ||
                 take_whole(object, "passes", passes, 1, 1000, &arm->passes) ||
                 take_whole(object, "turn", 1, 1, TURNS, &arm->turn);
    if (status)
        return EXIT_FAILED;
    arm->sampled = has_sampling(arm->stages);
    arm->of = *arm->of ? arm->of : NULL;
    if (arm->of && (*arm->stages || *arm->options))
        return say_error("experiments: %s is of another arm: it has no stages and options of its own", arm->name);
    return arm->of || *arm->stages ? 0 : say_error("experiments: %s has no stages", arm->name);
}

/* Among the first `count`. */
static const struct arm *find_arm(const struct task *task, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(task->arms[i].name, name))
            return &task->arms[i];
    return NULL;
}

static int check_arm(const struct task *task, int number)
{
    const struct arm *arm = &task->arms[number], *of = arm->of ? find_arm(task, number, arm->of) : NULL;
    if (find_arm(task, number, arm->name))
        return say_error("experiments: task %s has two arms %s", task->name, arm->name);
    if (arm->of && (!of || of->of || of->seeds < 2 * arm->seeds))
        return say_error("experiments: task %s, arm %s: '%s' is no arm before it with two seeds for each of its",
                         task->name, arm->name, arm->of);
    return 0;
}

static int read_arms(struct task *task, const json_t *object)
{
    const json_t *arms = json_object_get(object, "arms");
    int seeds, passes;
    if (take_whole(object, "seeds", 1, 0, SEEDS_MOST, &seeds) ||
        take_whole(object, "passes", 10, 1, 1000, &passes))
        return EXIT_FAILED;
    task->arms = calloc(json_array_size(arms) + 1, sizeof *task->arms);
    if (!task->arms)
        return say_error("no memory for the table");
    for (size_t i = 0; i < json_array_size(arms); i++) {
        if (read_arm(&task->arms[i], json_array_get(arms, i), seeds, passes))
            return say_error("experiments: task %s, arm %zu: as said above", task->name, i + 1);
        if (check_arm(task, (int)i))
            return EXIT_FAILED;
        task->arm_count++;
    }
    return task->arm_count ? 0 : say_error("experiments: task %s has no arms", task->name);
}

static int read_task(struct task *task, json_t *object)
{
    static const char *const keys[] = {"name", "title", "about", "like", "program", "data", "options", "looks", "eval",
                                       "arms", "seeds", "passes", NULL};
    return check_keys(object, "a task", keys) ||
           take_text(object, "name", NULL, &task->name) || check_name(task->name) ||
           take_text(object, "title", NULL, &task->title) || take_text(object, "about", "", &task->about) ||
           take_text(object, "like", "", &task->like) || take_text(object, "program", NULL, &task->program) ||
           take_text(object, "data", NULL, &task->data) || take_text(object, "options", "", &task->options) ||
           take_text(object, "looks", "", &task->looks) || take_text(object, "eval", "", &task->eval) ||
           read_arms(task, object);
}

/* The name of the last one. */
static int check_task(const struct table *table)
{
    for (int t = 0; t < table->count - 1; t++)
        if (!strcmp(table->tasks[t].name, table->tasks[table->count - 1].name))
            return say_error("experiments: there are two tasks %s", table->tasks[t].name);
    return 0;
}

int table_read(struct table *table, const char *path)
{
    static const char *const keys[] = {"attention", "tasks", NULL};
    json_error_t error;
    *table = (struct table){.json = json_load_file(path, JSON_REJECT_DUPLICATES, &error)};
    if (!table->json)
        return say_error("%s, line %d: %s", path, error.line, error.text);
    const json_t *tasks = json_object_get(table->json, "tasks");
    table->tasks = calloc(json_array_size(tasks) + 1, sizeof *table->tasks);
    if (!table->tasks)
        return say_error("no memory for the table");
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        table->count++;
        if (read_task(&table->tasks[i], json_array_get(tasks, i)) || check_task(table))
            return say_error("%s: task %zu: as said above", path, i + 1);
    }
    table->attention = json_string_value(json_object_get(table->json, "attention"));
    if (check_keys(table->json, "the table", keys) ||
        (json_object_get(table->json, "attention") && !table->attention))
        return say_error("%s: 'attention' must be a text, and nothing but tasks stand beside it", path);
    return table->count ? 0 : say_error("%s: there is no task", path);
}

void table_free(struct table *table)
{
    for (int t = 0; t < table->count; t++)
        free(table->tasks[t].arms);
    free(table->tasks);
    json_decref(table->json);
    *table = (struct table){0};
}

/* ---- runs ---- */

void run_name(const struct run_key *key, char name[256])
{
    snprintf(name, 256, "%s/seed-%d/%s", key->task->name, key->seed, key->arm->name);
}

bool run_pair(const struct run_key *key, struct run_key pair[2])
{
    const struct arm *of = key->arm->of ? find_arm(key->task, key->task->arm_count, key->arm->of) : NULL;
    if (!of)
        return false;
    pair[0] = (struct run_key){key->task, of, 2 * key->seed - 1};
    pair[1] = (struct run_key){key->task, of, 2 * key->seed};
    return true;
}

static int most_seeds(const struct task *task)
{
    int most = 0;
    for (int a = 0; a < task->arm_count; a++)
        most = task->arms[a].seeds > most ? task->arms[a].seeds : most;
    return most;
}

/* Of a task, a turn and a seed. */
static int each_of_seed(const struct task *task, int turn, int seed, int (*call)(void *, const struct run_key *),
                        void *cookie)
{
    int status = 0;
    for (int a = 0; a < task->arm_count && !status; a++)
        if (seed <= task->arms[a].seeds && turn == task->arms[a].turn)
            status = call(cookie, &(struct run_key){task, &task->arms[a], seed});
    return status;
}

int table_each(const struct table *table, int (*call)(void *, const struct run_key *), void *cookie)
{
    int status = 0;
    for (int turn = 1; turn <= TURNS; turn++)
        for (int t = 0; t < table->count; t++)
            for (int seed = 1; seed <= most_seeds(&table->tasks[t]) && !status; seed++)
                status = each_of_seed(&table->tasks[t], turn, seed, call, cookie);
    return status;
}

static bool fits(const void *what, const char *word)
{
    const struct run_key *key = what;
    char name[160];
    snprintf(name, sizeof name, "%s/%s", key->task->name, key->arm->name);
    return !fnmatch(word, strchr(word, '/') ? name : key->task->name, 0);
}

static bool any_word(const char *only, bool (*fit)(const void *what, const char *word), const void *what)
{
    char words[1024], *rest = words;
    if (!only)
        return true;
    snprintf(words, sizeof words, "%s", only);
    for (char *word; (word = strtok_r(rest, ", ", &rest));)
        if (fit(what, word))
            return true;
    return false;
}

bool run_wanted(const struct run_key *key, const char *only, int seeds)
{
    return (!seeds || key->seed <= seeds) && any_word(only, fits, key);
}

static bool is_name(const void *name, const char *word)
{
    return !fnmatch(word, name, 0);
}

bool name_wanted(const char *name, const char *only)
{
    return any_word(only, is_name, name);
}
