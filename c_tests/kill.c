/* A process that is killed in the middle of writing loses nothing that was acknowledged, in any mode. */
#include "processes.h"

#include <pthread.h>

enum { THREADS = 4, KEYS = 40, KILLS = 6 };

/* What a writer tells after each acknowledged write: thread and round. Smaller than PIPE_BUF, so whole. */
struct acknowledged {
    uint32_t thread, round;
};

static freyja_db *db;

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
    struct acknowledged told = {(uint32_t)(uintptr_t)argument, 0};
    static _Thread_local unsigned char value[32768];
    char key[64];
    for (;; told.round++) {
        size_t key_len = key_for(key, told.thread, told.round);
        if (is_delete(told.round)) {
            CHECK_OK(freyja_delete(db, key, key_len));
        } else {
            size_t length = value_for(value, told.thread, told.round);
            CHECK_OK(freyja_put(db, key, key_len, value, length));
        }
        CHECK(write(1, &told, sizeof told) == sizeof told);
    }
}

/* The process that gets killed. `mode` is the sync mode and the read mode. */
static int role_write(const char *mode, const char *path) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    pthread_t threads[THREADS];
    options.sync_mode = (uint32_t)(mode[0] - '0');
    options.read_mode = (uint32_t)(mode[1] - '0');
    options.sync_interval_ms = 3;
    options.segment_size = 128 << 10;
    db = open_store(path, &options);
    for (uintptr_t n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, write_on, (void *)n) == 0);
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

static void kill_and_check(const char *program, const char *mode, const char *path, int kills) {
    int output[2];
    int64_t last[THREADS] = {-1, -1, -1, -1};
    struct acknowledged told;
    CHECK(pipe(output) == 0);
    char role[8];
    snprintf(role, sizeof role, "%s", mode);
    pid_t child = run_again(program, role, path, output[1]);
    close(output[1]);
    /* Killed after a certain number of writes, different each time. */
    for (int n = 0; n < 150 + 731 * kills; n++) {
        CHECK(read(output[0], &told, sizeof told) == sizeof told);
        last[told.thread] = told.round;
    }
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(outcome_of(child) == -SIGKILL);
    while (read(output[0], &told, sizeof told) == sizeof told)
        last[told.thread] = told.round;
    close(output[0]);
    db = open_store(path, NULL);
    check_after_kill(last);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.recovery_damaged_spans == 0 && stats.recovery_missing_segments == 0);
    freyja_error failure;
    CHECK_STATUS(freyja_failure(db, &failure), FREYJA_NOT_FOUND);
    CHECK_OK(put_text(db, "after", "the kill"));
    CHECK_OK(freyja_close(db));
    db = open_store(path, NULL);
    check_after_kill(last);
    check_text(db, "after", "the kill");
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    if (argc == 3)
        return role_write(argv[1], argv[2]);
    CHECK(argc == 2);
    const char *modes[] = {"00", "10", "20", "01", "21"};
    int kills = is_slow_run() ? 1 : KILLS;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++)
        for (int n = 0; n < kills; n++) {
            char name[64];
            snprintf(name, sizeof name, "mode %s kill %d", modes[mode], n);
            kill_and_check(argv[0], modes[mode], path_in(argv[1], name), n);
        }
    return 0;
}
