/* SPDX-License-Identifier: Apache-2.0 */
/* lib_disk.c - who may have a disk's file; against the fake VMM, which keeps its descriptors as the
 * real one does. */
#include "lib/conker.h"
#include "tests/lib/fakeinit.h"
#include "tests/lib/test.h"

static char file[64], ro[72];

static void up(void)
{
	fakevmm_use();
	(void)snprintf(file, sizeof(file), "/tmp/conker-disk-XXXXXX");
	int fd = mkstemp(file);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	(void)close(fd);
	(void)snprintf(ro, sizeof(ro), "%s:ro", file);
}

static void down(void)
{
	(void)unlink(file);
	fakevmm_clean();
}

TestSuite(lib_disk, .init = up, .fini = down, .timeout = 60);

static int make(const char *name, const char *const *disks, conker_box **ret)
{
	conker_box_opts o = {.size = sizeof(o), .name = name, .disks = disks};

	return conker_box_create(&o, ret);
}

#define DISKS(...) ((const char *const[]){__VA_ARGS__, NULL})

static conker_box *have(const char *name, const char *const *disks)
{
	conker_box *b = NULL;

	cr_assert_eq(make(name, disks, &b), 0, "%s", conker_errmsg());
	return b;
}

static void refuse(const char *const *disks, int error, const char *text)
{
	conker_box *b = NULL;

	cr_assert_eq(make("other", disks, &b), error, "%s", conker_errmsg());
	cr_assert_not_null(strstr(conker_errmsg(), text), "%s", conker_errmsg());
	cr_assert_eq(conker_box_open("other", &b), -ENOENT, "nothing is left of it");
}

Test(lib_disk, a_writer_is_alone_and_the_next_is_told_who_has_it)
{
	conker_box *b = have("writer", DISKS(file));

	refuse(DISKS(file), -EBUSY, "in use by box 'writer'");
	refuse(DISKS(ro), -EBUSY, "in use by box 'writer'");
	conker_box_free(b);
	conker_box_free(have("next", DISKS(file)));
}

Test(lib_disk, readers_share_and_keep_writers_out)
{
	conker_box *a = have("one", DISKS(ro)), *b = have("two", DISKS(ro));

	refuse(DISKS(file), -EBUSY, "in use by box '");
	conker_box_free(a);
	refuse(DISKS(file), -EBUSY, "in use by box 'two'");
	conker_box_free(b);
	conker_box_free(have("writer", DISKS(file)));
}

Test(lib_disk, one_file_twice_is_for_readers)
{
	char link[80];

	(void)snprintf(link, sizeof(link), "%s.link", file);
	cr_assert_eq(symlink(file, link), 0);
	refuse(DISKS(file, file), -EINVAL, "given twice");
	refuse(DISKS(file, ro), -EINVAL, "given twice");
	refuse(DISKS(link, ro), -EINVAL, "given twice");
	conker_box_free(have("reader", DISKS(ro, ro)));
	(void)unlink(link);
}

Test(lib_disk, another_program_that_locks_it_is_respected)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(file, O_RDWR | O_CLOEXEC);

	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &l), 0);
	refuse(DISKS(ro), -EBUSY, "in use by another process");
	(void)close(fd);
	conker_box_free(have("reader", DISKS(ro)));
}

/* The lock is the VMM's, not the starter's. */
Test(lib_disk, a_detached_box_keeps_it)
{
	const char *const disks[] = {file, NULL};
	conker_box_opts o = {
		.size = sizeof(o), .name = "far", .disks = disks, .flags = CONKER_BOX_DETACHED};
	conker_box *b;

	cr_assert_eq(conker_box_create(&o, &b), 0, "%s", conker_errmsg());
	conker_box_free(b);
	refuse(DISKS(file), -EBUSY, "in use by box 'far'");
	cr_assert_eq(conker_box_remove("far", CONKER_RM_FORCE), 0, "%s", conker_errmsg());
	conker_box_free(have("next", DISKS(file)));
}
