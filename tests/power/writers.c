/* What the tests of power cuts run.
 *
 * "writers PATH MODE FIRST0 FIRST1 FIRST2 FIRST3" puts into the store PATH with four threads until it is killed or the disk goes
 * away. MODE is the sync mode and the read mode, FIRSTn the round that thread n begins with. After each acknowledged round it says
 * so on standard output. tests/power.rs knows what each round does.
 *
 * "cut DIRECTORY" takes the power from the file system of DIRECTORY: what is not on its disk yet never gets there. */
#include "../../c_tests/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

enum { THREADS = 4, KEYS = 20, GROUP = 5 };

/* What a thread says after each acknowledged round. Smaller than PIPE_BUF, so whole. */
struct acknowledged {
    uint32_t thread, round, durable;
};

/* What a value begins with; `before` are the rounds that had been acknowledged when it was put, plus one. */
struct head {
    uint32_t thread, round, before[THREADS];
};

static freyja_db *db;
static uint32_t sync_mode;
static _Atomic uint32_t done[THREADS];

static size_t value_for(unsigned char *value, uint32_t thread, uint32_t round) {
    struct head head = {thread, round, {0}};
    for (int n = 0; n < THREADS; n++)
        head.before[n] = atomic_load(&done[n]);
    size_t length = sizeof head + (round % 11 == 0 ? 9000 : round * 37 % 600);
    memset(value, (int)((round * 5 + thread) % 251), length);
    memcpy(value, &head, sizeof head);
    return length;
}

/* Every seventh round is a batch that puts a group of keys and deletes what the round before has put. */
static int write_round(freyja_batch *batch, uint32_t thread, uint32_t round) {
    static _Thread_local unsigned char value[16384];
    char key[64];
    size_t length = value_for(value, thread, round);
    if (round % 7 != 3) {
        int key_len = sprintf(key, "thread %u key %u", thread, round % KEYS);
        return freyja_put(db, key, (size_t)key_len, value, length);
    }
    CHECK_OK(freyja_batch_clear(batch));
    int status = FREYJA_OK;
    for (uint32_t n = 0; n < GROUP && status == FREYJA_OK; n++) {
        int key_len = sprintf(key, "thread %u group %u", thread, n);
        status = freyja_batch_put(batch, key, (size_t)key_len, value, length);
    }
    CHECK_OK(status);
    int key_len = sprintf(key, "thread %u key %u", thread, (round - 1) % KEYS);
    CHECK_OK(freyja_batch_delete(batch, key, (size_t)key_len));
    return freyja_write(db, batch);
}

static void *write_on(void *argument) {
    struct acknowledged told = *(struct acknowledged *)argument;
    freyja_batch *batch;
    CHECK_OK(freyja_batch_new(&batch));
    for (;; told.round++) {
        if (write_round(batch, told.thread, told.round) != FREYJA_OK)
            pause(); /* the disk has gone away */
        atomic_store(&done[told.thread], told.round + 1);
        told.durable = sync_mode == FREYJA_SYNC_ALWAYS;
        if (!told.durable && told.round % 200 == 199)
            told.durable = freyja_sync(db) == FREYJA_OK;
        CHECK(write(1, &told, sizeof told) == sizeof told);
    }
}

static int run_writers(const char *path, const char *mode, char **firsts) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    static struct acknowledged first[THREADS];
    pthread_t threads[THREADS];
    CHECK(sscanf(mode, "%1u%1u", &options.sync_mode, &options.read_mode) == 2);
    sync_mode = options.sync_mode;
    options.sync_interval_ms = 5;
    options.segment_size = 256 << 10;
    db = open_store(path, &options);
    for (uint32_t n = 0; n < THREADS; n++) {
        first[n].thread = n;
        first[n].round = (uint32_t)strtoul(firsts[n], NULL, 10);
        atomic_store(&done[n], first[n].round);
        CHECK(pthread_create(&threads[n], NULL, write_on, &first[n]) == 0);
    }
    for (;;)
        pause();
}

/* Documentation/filesystems of Linux calls it shutting down; without flushing its log it is a power cut. */
static int cut(const char *directory) {
    enum { WITHOUT_FLUSHING_THE_LOG = 2 };
    uint32_t how = WITHOUT_FLUSHING_THE_LOG;
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY);
    CHECK(descriptor >= 0);
    if (ioctl(descriptor, _IOR('X', 125, uint32_t), &how) != 0) {
        perror(directory);
        return 1;
    }
    return close(descriptor);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "cut") == 0)
        return cut(argv[2]);
    CHECK(argc == 8 && strcmp(argv[1], "writers") == 0);
    return run_writers(argv[2], argv[3], argv + 4);
}
