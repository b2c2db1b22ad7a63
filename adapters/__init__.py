"""One package per outside system; each implements ports or drives them. None knows the domain, none knows another."""
