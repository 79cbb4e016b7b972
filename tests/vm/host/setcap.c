/* SPDX-License-Identifier: Apache-2.0 */
/* setcap.c FILE - gives it CAP_NET_RAW, permitted and effective. 77: this file system has no capabilities of files. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/xattr.h>

int main(int argc, char **argv)
{
	const struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data = {{.permitted = 1 << CAP_NET_RAW}},
	};

	if (argc != 2)
		return 2;
	if (setxattr(argv[1], "security.capability", &cap, sizeof(cap), 0) == 0)
		return 0;
	perror(argv[1]);
	return errno == EOPNOTSUPP || errno == EPERM ? 77 : 1;
}
