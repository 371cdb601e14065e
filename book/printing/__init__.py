"""The whole book as one file: PDF for paper and EPUB for readers of electronic books, made from the rendered site."""
