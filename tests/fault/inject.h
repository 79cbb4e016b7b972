/* SPDX-License-Identifier: Apache-2.0 */
/* inject.h - the Nth call of one kind fails: the page between a test program and inject.o.
 *
 * That one is linked around the objects of the program under test (the linker's --wrap), so that the
 * product has no hook and its objects are those that ship. It counts calls by kind, lets one fail with an
 * errno that the kernel could have given in its place, and keeps books of what is not given back: without
 * a system call, so that it works in a jail. Who starts the program says what shall fail and reads what
 * happened in a page of a file, named by the environment variable FAULT_PAGE.
 *
 * Limits: what libc calls inside itself is seen in part only.
 * What cannot fail in real life does not here: close(), reads and writes of eventfds and their like,
 * what KVM answers from constants. Descriptors of the books are those of the calls below but for copies.
 */
#ifndef TESTS_FAULT_INJECT_H
#define TESTS_FAULT_INJECT_H

#include <stdatomic.h>

enum fault_kind {
	FAULT_NONE,
	FAULT_ALLOC,     /* malloc and its like, through strdup and opendir too: ENOMEM */
	FAULT_OPEN,      /* open and its like: EMFILE */
	FAULT_MMAP,      /* ENOMEM */
	FAULT_EPOLL,     /* epoll_create: EMFILE */
	FAULT_EPOLL_CTL, /* ENOSPC */
	FAULT_EVENTFD,   /* eventfd, timerfd, signalfd, memfd, pidfd, inotify: EMFILE */
	FAULT_SOCKET,    /* socket, socketpair, accept: EMFILE; bind, listen, connect */
	FAULT_CLONE,     /* fork, clone, pthread_create: EAGAIN */
	FAULT_IOCTL,     /* ENOMEM; KVM_RUN: EFAULT */
	FAULT_READ,      /* read, pread, recv: EIO, of a socket ECONNRESET */
	FAULT_WRITE,     /* write, pwrite, send: ENOSPC, of a socket EPIPE */
	FAULT_FILE,      /* mkdir, rename, unlink, truncate, flock, stat: EIO and such */
	FAULT_PROCESS,   /* fcntl, dup2, prctl, exec, setsid, limits: what each may say */
	FAULT_JAIL,      /* unshare, mount, pivot_root, capabilities, seccomp: EPERM */
	FAULT_INTERRUPT, /* what sleeps is interrupted: EINTR, which nobody may notice */
	FAULT_KINDS
};

struct fault_page {
	_Atomic int kind;  /* what shall fail; FAULT_NONE: nothing */
	_Atomic long at;   /* the at-th of them from now on, once; 0: none */
	_Atomic int lasts; /* that one and all later ones */
	_Atomic long count[FAULT_KINDS];
	_Atomic int hit;      /* it has failed, */
	_Atomic int error;    /* with this errno, */
	char text[64];        /* in its libc's words, */
	char call[32];        /* in this call */
	_Atomic long allocs;  /* pieces of memory, */
	_Atomic long maps;    /* mappings, */
	_Atomic long fds;     /* and descriptors that it opened and has not given back */
	_Atomic long threads; /* ever started: each leaves one piece of memory in libc's hands */
	_Atomic int loaded;   /* it is such a program */
	_Atomic int exited;   /* it came to exit() */
};

/* In a program that is its own driver: the page from now on, in this process and what it clones. */
void inject_use(struct fault_page *p);

#define FAULT_PAGE_ENV "FAULT_PAGE"

#endif
