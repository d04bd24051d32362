"""What Query-LIFE is compared with (Table 2): one interface, the same splits and lists."""
