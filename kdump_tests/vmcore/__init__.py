"""What a dump is: its formats, its completeness, VMCOREINFO, the kernel's log. Needs no guest."""
