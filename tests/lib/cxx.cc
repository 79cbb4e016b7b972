/* SPDX-License-Identifier: Apache-2.0 */
// cxx.cc - the public header in C++11: declarations link, options initialize, a lambda is a callback.
#include "lib/conker.h"

#include <cerrno>
#include <cstring>

int main()
{
	conker_exec_opts o = conker_exec_opts();
	conker_exec_cb cb = conker_exec_cb();
	conker_exec *e = nullptr;
	bool freed = false;

	o.size = sizeof(o);
	cb.user = &freed;
	cb.fn = [](conker_exec *, enum conker_event, const conker_event_data *, void *) {};
	cb.free = [](void *user) { *static_cast<bool *>(user) = true; };
	if (conker_exec_start(nullptr, &o, cb, &e) != -EINVAL || !freed || e)
		return 1;
	return std::strlen(conker_errmsg()) > 0 ? 0 : 1;
}
