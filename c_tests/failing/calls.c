/* Every system call that concerns a file fails, one after the other: as the simulated disk does it, on the real one. */
#include "scenario.h"

/* An interrupted call is made again, so nobody hears of it. */
static int is_error(int status) {
    if (fault.error == EINTR)
        return 0;
    return status == fault.error || status == FREYJA_FAILED || (fault.error == ENOMEM && status == FREYJA_MEMORY);
}

static int nobody_knows(int status) {
    (void)status;
    return 0;
}

static const int ERRORS[] = {EIO, ENOSPC, EDQUOT, EMFILE, EACCES, EROFS, ENOMEM, EFBIG, EINTR, ESTALE};
enum { ERROR_COUNT = sizeof ERRORS / sizeof *ERRORS, WAYS = ERROR_COUNT * 2 * 3 };

static long sweep(const char *path, const freyja_options *options, const char *before, long stride) {
    begin(path, before);
    arm(SYSTEM_CALLS, -1, 0, 0, 0);
    live(path, options, 0);
    disarm();
    long calls = fault.calls, tried = 0;
    CHECK(calls > 20);
    check_afterwards(path, options, 0);
    for (long number = 0; number < calls * WAYS; number += stride) {
        long at = number / WAYS, way = number % WAYS;
        int error = ERRORS[way % ERROR_COUNT], sticky = way / ERROR_COUNT % 2, effect = (int)(way / ERROR_COUNT / 2);
        /* What was interrupted has not happened; what is interrupted for ever never ends. */
        if (error == EINTR && (sticky || effect != BEFORE))
            continue;
        begin(path, before);
        arm(SYSTEM_CALLS, at, sticky, error, effect);
        live(path, options, 0);
        disarm();
        check_afterwards(path, options, 0);
        tried++;
    }
    printf("%s, %u background threads, read mode %u: %ld calls, %ld failures\n", before == NULL ? "new" : strrchr(before, '.') + 1,
           options->background_threads, options->read_mode, calls, tried);
    return tried;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char path[4200], killed[4300], closed[4300];
    const char *text = getenv("FREYJA_STRIDE");
    long stride = text == NULL ? 1 : atol(text), tried = 0;
    is_proper = is_error;
    did_not_happen = nobody_knows;
    for (unsigned setting = 0; setting < 3; setting++) {
        freyja_options options = FREYJA_OPTIONS_INIT;
        options.segment_size = 16384;
        options.sync_mode = setting == 1 ? FREYJA_SYNC_NONE : FREYJA_SYNC_ALWAYS;
        options.background_threads = setting / 2;
        options.read_mode = setting % 2;
        snprintf(path, sizeof path, "%s/store%u", argv[1], setting);
        make_stores(path, &options, killed, closed);
        tried += sweep(path, &options, NULL, stride);
        tried += sweep(path, &options, killed, stride);
        tried += sweep(path, &options, closed, stride);
    }
    printf("%ld failures of system calls\n", tried);
    return 0;
}
