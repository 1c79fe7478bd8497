"""If this kernel panics tonight, will there be a usable vmcore in the morning?"""
