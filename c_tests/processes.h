/* Child processes, for the tests of fork, locking and sudden death. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include "check.h"

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Waits for a child and answers its exit code, or minus the number of the signal that killed it. */
static inline int outcome_of(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Runs this program once more, as a process that shares nothing with this one, with these two arguments
 * instead of the directory; its standard output goes to `output` if that is not negative. */
static inline pid_t run_again(const char *program, const char *role, const char *argument, int output) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (output >= 0 && dup2(output, 1) < 0)
            _exit(99);
        execl(program, program, role, argument, (char *)NULL);
        _exit(98);
    }
    return child;
}

#endif
