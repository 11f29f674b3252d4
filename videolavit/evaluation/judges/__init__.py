"""Language models that grade answers, behind one interface; which one it was stands in the record."""
