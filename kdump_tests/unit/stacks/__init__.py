"""What is known of the kdump implementations."""
