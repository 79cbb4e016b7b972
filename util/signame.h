/* signame.h - names of signals: sigabbrev_np() of glibc 2.32, for every libc. */
#ifndef UTIL_SIGNAME_H
#define UTIL_SIGNAME_H

/* "TERM" for SIGTERM; NULL for what has no name, real-time signals among them. */
const char *signame(int signo);

#endif
