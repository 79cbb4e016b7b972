/* bench_result - the file of a benchmark: what is taken is written as something that is taken, and written the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "tools/bench/compare.h"
#include "tools/bench/html.h"
#include "tools/bench/result.h"
#include "tools/bench/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct result *r)
{
	struct text t = {0};

	for (size_t i = 0; i < r->nseries; i++)
		for (size_t k = 0; k < r->series[i]->nsteps; k++)
			assert(r->series[i]->n == 0 || r->series[i]->step[k].v);
	assert(compare_hosts(r, r, &t) == 0);
	compare_series(r, r, &t);
	table_result(&t, r);
	html_report(&t, r);
	for (size_t i = 0; i < t.len; i++)
		assert(t.s[i] != 0);
	text_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result first, again;
	struct text a = {0}, b = {0};

	if (result_read(&first, (const char *)data, size) == 0) {
		check(&first);
		result_write(&a, &first);
		assert(result_read(&again, a.s, a.len) == 0);
		result_write(&b, &again);
		assert(a.len == b.len && memcmp(a.s, b.s, a.len) == 0);
	}
	text_fini(&a);
	text_fini(&b);
	result_fini(&first);
	result_fini(&again);
	return 0;
}
