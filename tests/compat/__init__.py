"""Files that older versions wrote, and what today's makes of them. Nothing here is made by the code under test."""
