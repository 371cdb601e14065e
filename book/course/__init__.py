"""Course material: problem sets with proofs, the kit for a course, grading, slides, quizzes."""
