"""Reading the tables: status, report, review sheets and exports."""
