/* A system that runs out of something: space, file sizes, descriptors, address space. What is full answers with the
 * system's error, nothing acknowledged is lost, and when there is room again all goes on without a reopen. */
#include "../check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { LENGTH = 3000 };

static char value[LENGTH];

/* The value of a key, which tells it. */
static void make_value(int number) {
    memset(value, 'a' + number % 26, sizeof value);
    memcpy(value, &number, sizeof number);
}

static int put_number(freyja_db *db, int number) {
    make_value(number);
    return freyja_put(db, &number, sizeof number, value, sizeof value);
}

static void check_numbers(freyja_db *db, int count) {
    static char got[LENGTH];
    size_t length;
    for (int number = 0; number < count; number++) {
        make_value(number);
        CHECK_OK(freyja_get_into(db, &number, sizeof number, got, sizeof got, &length));
        CHECK(length == sizeof value && memcmp(got, value, sizeof value) == 0);
    }
    CHECK(count_of(db) == (uint64_t)count);
}

/* Puts until one fails with `error`; answers how many there are. */
static int put_until(freyja_db *db, int number, int error) {
    for (;; number++) {
        CHECK(number < 1000000);
        int status = put_number(db, number);
        if (status != FREYJA_OK) {
            CHECK_STATUS(status, error);
            return number;
        }
    }
}

/* Writing was refused for want of something; now there is room. */
static int goes_on(freyja_db *db, int number) {
    freyja_error failure;
    CHECK_STATUS(freyja_failure(db, &failure), FREYJA_NOT_FOUND);
    check_numbers(db, number);
    for (int more = 0; more < 20; more++)
        CHECK_OK(put_number(db, number++));
    return number;
}

static freyja_options options_of(int setting) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.segment_size = 256 << 10;
    options.sync_mode = setting % 2 ? FREYJA_SYNC_NONE : FREYJA_SYNC_ALWAYS;
    options.read_mode = setting / 2 % 2 ? FREYJA_READ_PREAD : FREYJA_READ_MAPPED;
    options.background_threads = setting / 4 % 2;
    return options;
}

/* The file system of the directory is small. */
static void full_disk(const char *directory, int setting) {
    const char *path = path_in(directory, "store"), *balloon = path_in(directory, "balloon");
    freyja_options options = options_of(setting);
    int file = open(balloon, O_WRONLY | O_CREAT | O_EXCL, 0666);
    CHECK(file >= 0);
    static char zeros[1 << 20];
    CHECK(write(file, zeros, sizeof zeros) == (ssize_t)sizeof zeros && fsync(file) == 0);
    freyja_db *db = open_store(path, &options);
    int number = put_until(db, 0, ENOSPC);
    /* An image that the background was writing may have taken the last of the space, and have given it back. */
    if (options.background_threads != 0)
        number = put_until(db, number, ENOSPC);
    else
        CHECK_STATUS(put_number(db, number), ENOSPC);
    check_numbers(db, number);
    CHECK(ftruncate(file, 0) == 0);
    number = goes_on(db, number);
    number = put_until(db, number, ENOSPC);
    /* What is there opens, reads and closes without any space. */
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    check_numbers(db, number);
    CHECK_OK(freyja_close(db));
    CHECK(close(file) == 0 && unlink(balloon) == 0);
}

static void limit(int what, rlim_t bytes) {
    struct rlimit both;
    CHECK(getrlimit(what, &both) == 0);
    both.rlim_cur = bytes < both.rlim_max ? bytes : both.rlim_max;
    CHECK(setrlimit(what, &both) == 0);
}

/* The program must ignore SIGXFSZ, which else ends it. */
static void short_files(const char *directory, int setting) {
    const char *path = path_in(directory, "store");
    freyja_options options = options_of(setting);
    signal(SIGXFSZ, SIG_IGN);
    freyja_db *db = open_store(path, &options);
    limit(RLIMIT_FSIZE, 100 << 10);
    int number = put_until(db, 0, EFBIG);
    CHECK(number > 5);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    number = goes_on(db, number);
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    check_numbers(db, number);
    CHECK_OK(freyja_close(db));
}

static void few_descriptors(const char *directory, int setting) {
    const char *path = path_in(directory, "store");
    freyja_options options = options_of(setting);
    freyja_db *db = open_store(path, &options);
    int number = 0;
    while (number < 300)
        CHECK_OK(put_number(db, number++));
    CHECK_OK(freyja_close(db));
    int next = dup(0);
    CHECK(next >= 0 && close(next) == 0);
    int opened = 0;
    for (int spare = 0; !opened; spare++) {
        CHECK(spare < 100);
        freyja_error error;
        limit(RLIMIT_NOFILE, (rlim_t)(next + spare));
        int status = freyja_open(path, &options, &db, &error);
        if (status == FREYJA_OK) {
            opened = 1;
            number = put_until(db, number, EMFILE);
        } else {
            CHECK_STATUS(status, EMFILE);
            CHECK(error.sys_errno == EMFILE && strstr(error.message, path) != NULL);
        }
    }
    limit(RLIMIT_NOFILE, RLIM_INFINITY);
    number = goes_on(db, number);
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    check_numbers(db, number);
    CHECK_OK(freyja_close(db));
}

static rlim_t address_space(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages;
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1 && fclose(file) == 0);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void little_memory(const char *directory, int setting) {
    const char *path = path_in(directory, "store");
    freyja_options options = options_of(setting);
    freyja_db *db = NULL;
    int number = 0;
    for (rlim_t spare = 0; db == NULL; spare += 128 << 10) {
        freyja_error error;
        CHECK(spare < 1 << 30);
        limit(RLIMIT_AS, address_space() + spare);
        int status = freyja_open(path, &options, &db, &error);
        if (status != FREYJA_OK)
            CHECK(status == FREYJA_MEMORY || status == ENOMEM);
    }
    int status = FREYJA_OK;
    while (status == FREYJA_OK && number < 5000)
        if ((status = put_number(db, number)) == FREYJA_OK)
            number++;
    CHECK(status == FREYJA_OK || status == FREYJA_MEMORY || status == ENOMEM);
    /* A value larger than all the memory there is. */
    static char large[32 << 20];
    status = freyja_put(db, "large", 5, large, sizeof large);
    if (status == FREYJA_OK) /* it was written from the caller's memory */
        CHECK_OK(freyja_delete(db, "large", 5));
    else
        CHECK(status == FREYJA_MEMORY || status == ENOMEM);
    limit(RLIMIT_AS, RLIM_INFINITY);
    number = goes_on(db, number);
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    check_numbers(db, number);
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    void (*run)(const char *, int) = NULL;
    const char *what = getenv("FREYJA_EXHAUST");
    CHECK(what != NULL);
    if (strcmp(what, "disk") == 0)
        run = full_disk;
    else if (strcmp(what, "file size") == 0)
        run = short_files;
    else if (strcmp(what, "descriptors") == 0)
        run = few_descriptors;
    else if (strcmp(what, "memory") == 0)
        run = little_memory;
    CHECK(run != NULL);
    for (int setting = 0; setting < 8; setting++) {
        char name[16];
        snprintf(name, sizeof name, "%d", setting);
        const char *directory = path_in(argv[1], name);
        CHECK(mkdir(directory, 0777) == 0);
        run(directory, setting);
        /* A small disk has room for one at a time. */
        char command[4200];
        snprintf(command, sizeof command, "rm -r '%s'", directory);
        CHECK(system(command) == 0);
    }
    return 0;
}
