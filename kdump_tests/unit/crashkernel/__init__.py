"""The crashkernel= language and the reservation, without a kernel at hand."""
