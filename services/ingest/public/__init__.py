"""Key-less tracking: stats of an mvp name, for whoever sends to it; an account may claim the name and look at them."""
