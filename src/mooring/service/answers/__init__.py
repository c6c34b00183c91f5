"""What operations share: values as shown, pages, operations as reported."""
