"""What becomes of a value: from the warehouse's type to the bytes of the request, through the state and back."""
