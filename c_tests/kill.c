/* A process that is killed again and again, while it writes or opens, loses nothing that was acknowledged, in any mode.
 * FREYJA_KILLS is how often in each mode, FREYJA_SEED decides about the moments. With FREYJA_KEEP what each kill left
 * stays in "... before", and what was found then in "... found": a line for each live key, key and value in hexadecimal. */
#include "processes.h"

#include <poll.h>
#include <pthread.h>
#include <time.h>

enum { THREADS = 4, KEYS = 40, KILLS = 6, KILLS_OF_A_STORE = 8 };

/* What a writer tells after each acknowledged write: thread and round. Smaller than PIPE_BUF, so whole. */
struct acknowledged {
    uint32_t thread, round;
};

static freyja_db *db;
static uint64_t random_state;

static uint64_t number_from(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* Round r of a thread writes its key r % KEYS, or deletes it in every fifth round of that key. */
static int is_delete(uint32_t round) {
    return round / KEYS % 5 == 4;
}

static size_t key_for(char *key, uint32_t thread, uint32_t round) {
    return (size_t)sprintf(key, "thread %u key %u", thread, round % KEYS);
}

static size_t value_for(unsigned char *value, uint32_t thread, uint32_t round) {
    size_t length = round % 9 == 0 ? 20000 + round % 3000 : 4 + (round * 37 + thread) % 900;
    memset(value, (int)(round * 5 + thread), length);
    memcpy(value, &round, 4);
    return length;
}

static void *write_on(void *argument) {
    struct acknowledged told = *(struct acknowledged *)argument;
    const uint32_t first = told.round;
    static _Thread_local unsigned char value[32768];
    char key[64];
    for (;; told.round++) {
        size_t key_len = key_for(key, told.thread, told.round);
        if (is_delete(told.round)) {
            /* The write that was under way at the last kill is done once more. */
            int status = freyja_delete(db, key, key_len);
            CHECK(status == FREYJA_OK || (status == FREYJA_NOT_FOUND && told.round == first));
        } else {
            size_t length = value_for(value, told.thread, told.round);
            CHECK_OK(freyja_put(db, key, key_len, value, length));
        }
        CHECK(write(1, &told, sizeof told) == sizeof told);
    }
}

/* The process that gets killed. `role` is the sync mode, the read mode, and the first round of each thread. */
static int role_write(const char *role, const char *path) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    static struct acknowledged first[THREADS];
    pthread_t threads[THREADS];
    CHECK(sscanf(role, "%1u%1u %u %u %u %u", &options.sync_mode, &options.read_mode,
                 &first[0].round, &first[1].round, &first[2].round, &first[3].round) == 6);
    options.sync_interval_ms = 3;
    options.segment_size = 128 << 10;
    db = open_store(path, &options);
    for (uint32_t n = 0; n < THREADS; n++) {
        first[n].thread = n;
        CHECK(pthread_create(&threads[n], NULL, write_on, &first[n]) == 0);
    }
    for (;;)
        pause();
}

/* The key has the state after round `round`, or none of that thread if there was no such round. */
static int has_state_of(uint32_t thread, uint32_t key_number, int64_t round) {
    static unsigned char expected[32768];
    char key[64];
    void *got;
    size_t got_len, key_len = key_for(key, thread, key_number);
    int status = freyja_get(db, key, key_len, &got, &got_len);
    if (status == FREYJA_NOT_FOUND)
        return round < 0 || is_delete((uint32_t)round);
    CHECK_OK(status);
    int same = 0;
    if (round >= 0 && !is_delete((uint32_t)round)) {
        size_t length = value_for(expected, thread, (uint32_t)round);
        same = got_len == length && memcmp(got, expected, length) == 0;
    }
    freyja_free_buf(got);
    return same;
}

/* Every key is as its last acknowledged write left it; only the one write of each thread that was under way
 * when the process died may be there or not, but whole. */
static void check_after_kill(const int64_t *last) {
    for (uint32_t thread = 0; thread < THREADS; thread++)
        for (uint32_t number = 0; number < KEYS; number++) {
            int64_t under_way = last[thread] + 1, round = last[thread];
            while (round >= 0 && round % KEYS != number)
                round--;
            int may_be_newer = under_way % KEYS == number;
            if (!has_state_of(thread, number, round) &&
                !(may_be_newer && has_state_of(thread, number, under_way))) {
                fprintf(stderr, "thread %u, key %u: not as round %lld left it\n", thread, number,
                        (long long)round);
                exit(1);
            }
        }
}

static int64_t milliseconds(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes one acknowledgement; answers whether there was one within `timeout` milliseconds, without limit if negative. */
static int take_one(int input, int timeout, int64_t *last) {
    struct pollfd waiting = {input, POLLIN, 0};
    struct acknowledged told;
    if (poll(&waiting, 1, timeout) == 0 || read(input, &told, sizeof told) != sizeof told)
        return 0;
    last[told.thread] = told.round;
    return 1;
}

/* What the kill left, for another reader. */
static void keep_before(const char *path) {
    char command[9000];
    snprintf(command, sizeof command, "mkdir -p '%s' && cp -r '%s' '%s before'", path, path, path);
    CHECK(system(command) == 0);
}

static void write_hexadecimal(FILE *file, const unsigned char *bytes, size_t length) {
    for (size_t n = 0; n < length; n++)
        fprintf(file, "%02x", bytes[n]);
}

static void keep_found(const char *path) {
    char name[5000], key[64];
    snprintf(name, sizeof name, "%s found", path);
    FILE *file = fopen(name, "w");
    CHECK(file != NULL);
    for (uint32_t thread = 0; thread < THREADS; thread++)
        for (uint32_t number = 0; number < KEYS; number++) {
            void *value;
            size_t length, key_len = key_for(key, thread, number);
            int status = freyja_get(db, key, key_len, &value, &length);
            if (status == FREYJA_NOT_FOUND)
                continue;
            CHECK_OK(status);
            write_hexadecimal(file, (unsigned char *)key, key_len);
            fputc(' ', file);
            write_hexadecimal(file, value, length);
            fputc('\n', file);
            freyja_free_buf(value);
        }
    CHECK(fclose(file) == 0);
}

/* Starts a process that goes on where `last` ended, kills it, and checks what it leaves. It is killed after so many
 * writes, or, if `delay` is not negative, so many milliseconds after its start, be it still opening the store. */
static void kill_and_check(const char *program, const char *mode, const char *path, int64_t *last,
                           int writes, int delay) {
    int output[2];
    char role[100];
    CHECK(pipe(output) == 0);
    snprintf(role, sizeof role, "%s %lld %lld %lld %lld", mode, (long long)last[0] + 1,
             (long long)last[1] + 1, (long long)last[2] + 1, (long long)last[3] + 1);
    int64_t end = milliseconds() + delay;
    pid_t child = run_again(program, role, path, output[1]);
    close(output[1]);
    if (delay < 0)
        while (writes-- > 0)
            CHECK(take_one(output[0], -1, last));
    else
        for (int64_t left = delay; left > 0; left = end - milliseconds())
            take_one(output[0], (int)left, last);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(outcome_of(child) == -SIGKILL);
    while (take_one(output[0], -1, last)) {
    }
    close(output[0]);
    int keep = getenv("FREYJA_KEEP") != NULL;
    if (keep)
        keep_before(path);
    db = open_store(path, NULL);
    check_after_kill(last);
    if (keep)
        keep_found(path);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.recovery_damaged_spans == 0 && stats.recovery_missing_segments == 0);
    freyja_error failure;
    CHECK_STATUS(freyja_failure(db, &failure), FREYJA_NOT_FOUND);
    CHECK_OK(put_text(db, "after", "the kill"));
    CHECK_OK(freyja_close(db));
    db = open_store(path, NULL);
    check_after_kill(last);
    check_text(db, "after", "the kill");
    CHECK_OK(delete_text(db, "after"));
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    if (argc == 3)
        return role_write(argv[1], argv[2]);
    CHECK(argc == 2);
    const char *modes[] = {"00", "10", "20", "01", "21"};
    uint64_t kills = number_from("FREYJA_KILLS", is_slow_run() ? 1 : KILLS);
    random_state = number_from("FREYJA_SEED", 1) * 2 + 1;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++) {
        int64_t last[THREADS];
        char store[64], copy[128];
        for (uint64_t n = 0; n < kills; n++) {
            if (n % KILLS_OF_A_STORE == 0) {
                memset(last, 0xff, sizeof last);
                snprintf(store, sizeof store, "mode %s store %u", modes[mode], (unsigned)n);
            }
            int writes = 100 + (int)(random_next(&random_state) % 3000);
            int delay = n % 2 == 0 ? -1 : (int)(random_next(&random_state) % 50);
            kill_and_check(argv[0], modes[mode], path_in(argv[1], store), last, writes, delay);
            if (getenv("FREYJA_KEEP") != NULL) {
                const char *kinds[] = {"before", "found"};
                for (size_t kind = 0; kind < 2; kind++) {
                    snprintf(copy, sizeof copy, "%s %s", store, kinds[kind]);
                    char *from = path_in(argv[1], copy);
                    snprintf(copy, sizeof copy, "%s kill %u %s", modes[mode], (unsigned)n, kinds[kind]);
                    CHECK(rename(from, path_in(argv[1], copy)) == 0);
                }
            }
        }
    }
    return 0;
}
