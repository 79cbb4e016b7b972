#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# layers.sh [ROOT] - the rules of who may include whom (docs/architecture.md), checked by reading the
# #include lines. Prints each offence, and each file that no rule is about; fails if there is one.
#
#   util < proto < lib < tools;  util, proto < guest-init;  util, proto < vmm;  util < image
#   inside lib: host < images < handle < box < files
#   inside guest-init: sys < exec < serve < main; files is a program of its own, which main alone knows
#   inside vmm: util < mem < virtio/queue < virtio/*, disk, arch < snap < vm < main
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1

includes() { # FILES: "file included" lines for our own headers
	grep -HoE '^#include "[^"]+"' "$@" 2>/dev/null | sed -E 's/:#include "([^"]+)"/ \1/'
}

ruled=
may() { # WHO-GLOB ALLOWED-REGEX: every include of these files must match
	ruled="$ruled $1"
	# shellcheck disable=SC2086 # globs
	includes $1 | while read -r file header; do
		printf '%s\n' "$header" | grep -Eq "^($2)" || echo "$file includes $header"
	done
}

unruled() { # files of the product that no rule is about
	# shellcheck disable=SC2086 # globs
	find util proto lib guest-init image tools vmm -name '*.[ch]' 2>/dev/null | grep -vxF "$(printf '%s\n' $ruled)" |
		sed 's/$/ is in no floor/'
}

{
	may 'util/*.[ch]' 'util/'
	may 'proto/*.[ch]' 'util/|proto/|exec\.pb-c\.h'
	may 'lib/conker.h' 'nothing'
	may 'lib/host/*.[ch]' 'util/|proto/|lib/conker\.h|lib/host/'
	may 'lib/images/*.[ch]' 'util/|lib/conker\.h|lib/(host|images)/'
	may 'lib/handle/*.[ch]' 'util/|proto/|lib/conker\.h|lib/(host|handle)/'
	may 'lib/box/*.[ch]' 'util/|proto/|lib/conker\.h|lib/(host|images|handle|box)/'
	may 'lib/files/*.[ch]' 'util/|proto/|lib/conker\.h|lib/(host|images|handle|box|files)/'
	may 'guest-init/files/*.[ch]' 'util/|proto/|guest-init/files/'
	may 'guest-init/sys/*.[ch]' 'util/|proto/|guest-init/sys/'
	may 'guest-init/exec/*.[ch]' 'util/|proto/|guest-init/(sys|exec)/'
	may 'guest-init/serve/*.[ch]' 'util/|proto/|guest-init/(sys|exec|serve)/'
	may 'guest-init/main.c' 'util/|proto/|guest-init/'
	may 'tools/*/*.[ch]' 'util/(util|clean|cleanup|io|num|signame)\.h|lib/conker\.h|tools/'
	may 'tools/bench/guest/*.[ch]' 'proto/ports\.h|tools/bench/mark\.h'
	may 'image/*.[ch]' 'util/|image/|image_rules\.h'
	may 'image/tree.[ch]' 'util/|image/(tree|limits)\.h'
	may 'image/meta.[ch]' 'util/|image/(tree|meta)\.h'
	may 'image/layer.[ch] image/index.[ch]' 'util/|image/(layer|index|tree|data|inflate|limits|progress|span)\.h'
	may 'image/inflate.[ch]' 'util/|image/(inflate|span|limits)\.h'
	may 'image/door.[ch] image/data.[ch]' 'util/|image/(door|data)\.h'
	may 'image/oci.[ch]' 'util/|image/(oci|blobs|limits)\.h'
	may 'vmm/mem.[ch]' 'util/|vmm/mem\.h|vmm/arch/x86/layout\.h'
	may 'vmm/virtio/queue.[ch]' 'util/|vmm/mem\.h|vmm/virtio/queue\.h'
	may 'vmm/virtio/*.[ch]' 'util/|proto/ports\.h|vmm/mem\.h|vmm/virtio/|vmm/disk/'
	may 'vmm/disk/*.[ch]' 'util/|vmm/disk/'
	may 'vmm/arch/*/*.[ch] vmm/arch/*.[ch]' 'util/|vmm/(mem|kvm|bus|config|power)\.h|vmm/arch/'
	may 'vmm/snap/*.[ch]' 'util/|proto/|vmm/|state\.pb-c\.h'
	may 'vmm/*.[ch]' 'util/|proto/|vmm/|seccomp_rules\.h'
	unruled
	# Only one file knows each of these libraries.
	grep -lE '#include <z(lib|std)\.h>' -r vmm lib guest-init tools util image --include='*.[ch]' | grep -v '^image/inflate\.h$' | sed 's/$/ includes a decoder past inflate.h/'
	grep -lE '#include <libfdt.h>' -r vmm | grep -v '^vmm/arch/fdt\.c$' | sed 's/$/ includes libfdt/'
	grep -lE 'protobuf-c/|exec\.pb-c\.h' -r vmm lib guest-init tools --include='*.[ch]' | sed 's/$/ includes protobuf-c past codec.h/'
	grep -lE 'state\.pb-c\.h' -r vmm lib guest-init tools proto --include='*.[ch]' | grep -v '^vmm/snap/' | sed 's/$/ includes the state file past vmm\/snap/'
} | sort | tee /dev/stderr | { ! grep -q .; }
